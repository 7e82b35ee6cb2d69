package store

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"
	"time"
)

func TestExplain(t *testing.T) {
	b, err := os.ReadFile("/tmp/q.sql")
	if err != nil {
		t.Skip()
	}
	s := openTest(t, "/tmp/bench10m")
	for _, q := range strings.Split(string(b), ";\n") {
		if strings.TrimSpace(q) == "" {
			continue
		}
		st := time.Now()
		err := s.query(context.Background(), q, nil, func(r *sql.Rows) error {
			c, _ := r.Columns()
			v := make([]any, len(c))
			p := make([]any, len(c))
			for i := range v {
				p[i] = &v[i]
			}
			if err := r.Scan(p...); err != nil {
				return err
			}
			for _, x := range v {
				t.Logf("%v", x)
			}
			return nil
		})
		t.Log(time.Since(st), err)
	}
}
