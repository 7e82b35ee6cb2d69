package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/xuri/excelize/v2"

	"sekimori/internal/survey"
)

// Bounds of a spreadsheet, in octets when unpacked: of the whole, and of a part
// that is held in memory. Larger parts go to a temporary file.
const (
	maxSheetUnpacked = 4 << 30
	maxSheetPart     = 16 << 20
)

// workbook is a spreadsheet as a list.
type workbook struct{ file *excelize.File }

func openWorkbook(f *os.File, temp string) (*workbook, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	x, err := excelize.OpenReader(f, excelize.Options{UnzipSizeLimit: maxSheetUnpacked, UnzipXMLSizeLimit: maxSheetPart, TmpDir: temp})
	if err != nil {
		return nil, fmt.Errorf("not a spreadsheet that can be read (XLSX): %w", err)
	}
	return &workbook{x}, nil
}

func (w *workbook) close() error { return w.file.Close() }

// list finds the sheet that holds the list: the one named, or the first one
// shown in which the columns are clear.
func (w *workbook) list(sheet string, o survey.Reading) (*survey.List, string, error) {
	sheets := w.file.GetSheetList()
	if sheet != "" {
		if !slices.Contains(sheets, sheet) {
			return nil, "", fmt.Errorf("no sheet %q; there are %s", sheet, strings.Join(sheets, ", "))
		}
		sheets = []string{sheet}
	}
	var first error
	for _, s := range sheets {
		if shown, err := w.file.GetSheetVisible(s); sheet == "" && err == nil && !shown {
			continue
		}
		l, err := survey.NewList(func() (survey.Rows, error) { return w.rows(s) }, o)
		if err == nil {
			return l, s, nil
		}
		if first == nil || errors.Is(first, survey.ErrEmpty) && !errors.Is(err, survey.ErrEmpty) {
			first = fmt.Errorf("sheet %s: %w", s, err)
		}
	}
	if first == nil {
		first = survey.ErrEmpty
	}
	return nil, "", first
}

func (w *workbook) rows(sheet string) (survey.Rows, error) {
	rows, err := w.file.Rows(sheet)
	if err != nil {
		return nil, err
	}
	return &sheetRows{rows: rows}, nil
}

// sheetRows reads a sheet row by row.
type sheetRows struct {
	rows *excelize.Rows
	line int64
}

// Next is that of survey.Rows.
func (s *sheetRows) Next() ([]string, int64, error) {
	if !s.rows.Next() {
		if err := s.rows.Error(); err != nil {
			return nil, 0, fmt.Errorf("row %d: %w", s.line+1, err)
		}
		return nil, 0, io.EOF
	}
	s.line++
	cells, err := s.rows.Columns()
	if err != nil {
		return nil, 0, fmt.Errorf("row %d: %w", s.line, err)
	}
	return cells, s.line, nil
}

// Close lets the sheet go.
func (s *sheetRows) Close() error { return s.rows.Close() }
