package publish

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

// fonts is Noto Sans JP as the front end's build left it (SIL Open Font
// License 1.1); without that build there is none.
//
//go:embed all:font
var fonts embed.FS

// ErrFont says that no PDF can be made, as the program was built without the
// fonts. The text and the page are not touched by it.
var ErrFont = errors.New("this program was built without the fonts that a PDF needs: build it with \"make build\", or take the text or the page instead")

// Weights of the typeface.
const (
	regular = "font/NotoSansJP-Regular.ttf"
	bold    = "font/NotoSansJP-Bold.ttf"
)

// typeface returns the whole font of a weight, some 5 MB; what a document does
// not use of it is left out when that is written.
func typeface(weight string) ([]byte, error) {
	b, err := fonts.ReadFile(weight)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrFont
	}
	if err != nil {
		return nil, fmt.Errorf("font of the PDF: %w", err)
	}
	return b, nil
}
