package store

import "slices"

const (
	// keptTables is how many tables of a wave are kept, and keptGroups how long
	// one may be: some megabytes in all.
	keptTables = 48
	keptGroups = 300
)

// keptTable gives a table of a wave as it was given before, or asks for it.
// Tables are kept until something is written about the wave; those of a large
// wave take a second each, and pages ask for many of them again and again.
// Rows are the same every time, and nobody changes what is in them.
func keptTable[T any](w *surveyWave, key string, ask func() ([]T, error)) ([]T, error) {
	w.mu.Lock()
	old, ok := w.kept[key].([]T)
	version := w.version
	w.mu.Unlock()
	if ok {
		return slices.Clone(old), nil
	}
	rows, err := ask()
	if err != nil || len(rows) > keptGroups {
		return rows, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.version == version {
		if w.kept == nil || len(w.kept) >= keptTables {
			w.kept = map[string]any{}
		}
		w.kept[key] = rows
	}
	return slices.Clone(rows), nil
}

// changed forgets the tables. mu is held.
func (w *surveyWave) changed() {
	w.version++
	w.kept = nil
}
