package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// bounds returns the page's limit and offset within what is allowed.
func (p Page) bounds() (limit, offset int) {
	limit = p.Limit
	if limit <= 0 {
		limit = 50
	}
	return min(limit, 1000), max(p.Offset, 0)
}

// order returns the page's ORDER BY clause. columns maps what Sort may be to
// SQL, and "" to the default, which is descending; tie is a unique column that
// makes the order total.
func (p Page) order(columns map[string]string, tie string) (string, error) {
	c, ok := columns[p.Sort]
	if !ok {
		names := slices.Sorted(maps.Keys(columns))
		return "", fmt.Errorf("sort by %q: want one of %s", p.Sort, strings.Join(names[1:], ", "))
	}
	dir := ""
	if p.Desc || p.Sort == "" {
		dir = " DESC"
	}
	if c == tie {
		return " ORDER BY " + c + dir, nil
	}
	return " ORDER BY " + c + dir + ", " + tie + dir, nil
}
