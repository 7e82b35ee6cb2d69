package reporter

import (
	"context"

	"sekimori/internal/store/verdict"
)

// Kept are the verdicts of a gateway's folder. Where the gateway runs in this
// process, flush brings what it has seen into the folder, so that a day is
// closed with all of its messages; nil elsewhere. What comes later goes into
// the next day's reports. The caller closes the Reader.
func Kept(dir string, reader *verdict.Reader, flush func(context.Context) error) Days {
	return kept{reader, dir, flush}
}

type kept struct {
	*verdict.Reader
	dir   string
	flush func(context.Context) error
}

func (k kept) Close(ctx context.Context, day string) error {
	if k.flush != nil {
		if err := k.flush(ctx); err != nil {
			return err
		}
	}
	return verdict.CloseDay(ctx, k.dir, day)
}
