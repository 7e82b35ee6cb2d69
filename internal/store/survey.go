package store

import (
	"context"
	"errors"
)

// ErrWaveDiffers says that a wave of this name was begun with another list, or
// with the same one read in another way.
var ErrWaveDiffers = errors.New("a wave of this name has another list")

// CodeTotal counts the domains that have a problem.
type CodeTotal struct {
	Code
	Domains int64
}

// ChangedRow is a domain in two waves.
type ChangedRow struct {
	Before, After SurveyRow
}

// SurveyWriter takes a wave's results.
type SurveyWriter struct{}

var errStub = errors.New("not implemented yet")

func (s *Store) StartWave(ctx context.Context, w WaveSpec) (wave Wave, resumed bool, err error) {
	return Wave{}, false, errStub
}

func (s *Store) Wave(ctx context.Context, name string) (Wave, error) { return Wave{}, errStub }

func (s *Store) Waves(ctx context.Context) ([]Wave, error) { return nil, errStub }

func (s *Store) DropWave(ctx context.Context, id int64) error { return errStub }

func (s *Store) AddEntries(ctx context.Context, wave int64, e []Entry) error { return errStub }

func (s *Store) SealEntries(ctx context.Context, wave int64) (Wave, error) { return Wave{}, errStub }

func (s *Store) Pending(ctx context.Context, wave, after int64, limit int) ([]Entry, error) {
	return nil, errStub
}

func (s *Store) Retryable(ctx context.Context, wave, after int64, limit, attempts int) ([]Entry, error) {
	return nil, errStub
}

func (s *Store) Surveying(ctx context.Context, wave int64) (*SurveyWriter, error) {
	return nil, errStub
}

func (w *SurveyWriter) Put(r Result) error { return errStub }

func (w *SurveyWriter) Close(ctx context.Context) error { return errStub }

func (s *Store) FinishWave(ctx context.Context, wave int64) (Wave, error) { return Wave{}, errStub }

func (s *Store) Selectors(ctx context.Context, domains []string) (map[string][]string, error) {
	return nil, errStub
}

func (s *Store) Groups(ctx context.Context, wave int64, attribute string, most int) ([]Group, error) {
	return nil, errStub
}

func (s *Store) Bands(ctx context.Context, wave int64, attribute string, bounds []float64) ([]Group, error) {
	return nil, errStub
}

func (s *Store) Shapes(ctx context.Context, wave int64) ([]AttributeShape, error) {
	return nil, errStub
}

func (s *Store) SurveyRows(ctx context.Context, wave int64, f SurveyFilter, p Page) ([]SurveyRow, int64, error) {
	return nil, 0, errStub
}

func (s *Store) EachSurveyRow(ctx context.Context, wave int64, f func(*SurveyRow) error) error {
	return errStub
}

func (s *Store) SurveyRow(ctx context.Context, wave, no int64) (SurveyRow, error) {
	return SurveyRow{}, errStub
}

func (s *Store) SurveyCodes(ctx context.Context, wave int64) ([]CodeTotal, error) {
	return nil, errStub
}

func (s *Store) Changes(ctx context.Context, before, after int64, attribute, value string) ([]Change, error) {
	return nil, errStub
}

func (s *Store) ChangedRows(ctx context.Context, before, after int64, fact string, from, to State, p Page) ([]ChangedRow, int64, error) {
	return nil, 0, errStub
}

func (s *Store) PutMail(ctx context.Context, wave int64, m []MailResult) (fresh int64, err error) {
	return 0, errStub
}

func (s *Store) Mails(ctx context.Context, wave, entry int64, p Page) ([]MailResult, int64, error) {
	return nil, 0, errStub
}

func (s *Store) EachMail(ctx context.Context, wave int64, f func(*MailResult) error) error {
	return errStub
}

func (s *Store) Combinations(ctx context.Context, wave int64, b Basis, matchedOnly bool) ([]Combination, error) {
	return nil, errStub
}

func (s *Store) MatchEntry(ctx context.Context, wave int64, domains []string) (map[string]int64, error) {
	return nil, errStub
}

// ParseNumber reads a number as tables write them.
func ParseNumber(s string) (float64, bool) { return 0, false }
