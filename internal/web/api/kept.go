package api

import (
	"context"
	"path/filepath"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/store"
)

type quarantineList struct {
	Total int64               `json:"total"`
	Items []store.Quarantined `json:"items"`
}

type importList struct {
	Total   int64          `json:"total"`
	Imports []store.Import `json:"imports"`
}

func (s *server) keptOperations(a huma.API) {
	huma.Register(a, get("list-quarantine", "/quarantine", "intake", "What could not be read, and why"),
		func(ctx context.Context, in *struct {
			Page
			Sort string `query:"sort" enum:"at,path,size" doc:"Default: the newest first."`
		}) (*answer[quarantineList], error) {
			list, total, err := s.Store.ListQuarantined(ctx, in.sorted(in.Sort))
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(quarantineList{Total: total, Items: notNil(list)}), nil
		})

	op := get("get-quarantined", "/quarantine/{id}/file", "intake", "The kept copy of something that could not be read")
	op.Responses = file("application/octet-stream")
	huma.Register(a, op, func(ctx context.Context, in *struct {
		ID int64 `path:"id" minimum:"1"`
	}) (*huma.StreamResponse, error) {
		f, q, err := s.Store.OpenQuarantined(ctx, in.ID)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return s.download(f, filepath.Base(q.Kept), "application/octet-stream"), nil
	})

	huma.Register(a, get("list-imports", "/imports", "intake", "The imports, newest first"),
		func(ctx context.Context, in *struct{ Page }) (*answer[importList], error) {
			list, total, err := s.Store.Imports(ctx, in.sorted(""))
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(importList{Total: total, Imports: notNil(list)}), nil
		})
}
