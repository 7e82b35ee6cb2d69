package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"sekimori/internal/advise"
	"sekimori/internal/store"
)

// wordList is what people said about a domain's sources.
type wordList struct {
	Domain string         `json:"domain"`
	Words  []store.Saying `json:"words" doc:"The latest word about each source first, then what was said before."`
}

// wordBody is a word about a source.
type wordBody struct {
	Class string `json:"class,omitempty" enum:"aligned,broken,forwarder,spoof,unknown," doc:"aligned or broken: ours (figures decide which); spoof: not ours; forwarder: passes mail on; unknown: asked, and not known; empty: the evidence decides again."`
	Name  string `json:"name,omitempty" maxLength:"800" doc:"What people call it."`
	Note  string `json:"note,omitempty" maxLength:"16000"`
	By    string `json:"by" minLength:"1" maxLength:"800" doc:"Who says so."`
}

func (s *server) wordOperations(a huma.API) {
	huma.Register(a, get("list-words", "/domains/{domain}/words", "work", "What people said about a domain's sources"),
		func(ctx context.Context, in *struct{ Named }) (*answer[wordList], error) {
			name, err := in.name()
			if err != nil {
				return nil, err
			}
			all, err := s.Work.Store.Sayings(ctx, name.String())
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(wordList{name.String(), notNil(all)}), nil
		})

	huma.Register(a, huma.Operation{OperationID: "say-word", Method: http.MethodPost, Path: "/domains/{domain}/sources/{source}/words", Tags: []string{"work"}, Summary: "Say whose a source is, or what it is called",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity}},
		func(ctx context.Context, in *struct {
			Named
			SourceID
			Window
			Body wordBody
		}) (*answer[store.Saying], error) {
			name, src, err := s.sourceOf(ctx, in.Named, in.SourceID, in.Window)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			say := src.Saying(name)
			say.Class, say.Name, say.Note, say.By, say.At = in.Body.Class, Line(in.Body.Name), Note(in.Body.Note), Line(in.Body.By), s.Work.Clock().UTC()
			if say.By == "" {
				return nil, huma.Error422UnprocessableEntity("by: who says so?")
			}
			if say, err = s.Work.Store.PutSaying(ctx, say); err != nil {
				return nil, s.fail(ctx, err)
			}
			return reply(say), nil
		})
}

// sourceOf finds a source of a domain that has a key to keep a word by.
func (s *server) sourceOf(ctx context.Context, n Named, id SourceID, q Window) (string, *advise.Source, error) {
	a, _, _, err := s.advice(ctx, n, q)
	if err != nil {
		return "", nil, err
	}
	i := slices.IndexFunc(a.Sources, func(x advise.Source) bool { return x.ID == id.Source })
	if i < 0 || a.Sources[i].Key == "" {
		return "", nil, huma.Error404NotFound("no such source of " + a.Domain + " in this window")
	}
	return a.Domain, &a.Sources[i], nil
}
