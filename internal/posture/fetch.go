package posture

import (
	"context"
	"errors"

	"sekimori/explain"
)

// Fetcher gets what a URL holds by HTTPS, at most so many octets, and its
// media type. A stranger's record chose the URL where chosen says so. It is
// safe for concurrent use.
//
// An error that has the methods
//
//	Temporary() bool // nothing is known
//	Reason() string  // a token: "status", "certificate-name", …
//	Detail() string  // what it is about: "404", the names
//
// says more; one without them is temporary. The reasons are those of
// internal/probe.
type Fetcher interface {
	Fetch(ctx context.Context, url string, most int, chosen bool) (body []byte, mediaType string, err error)
}

// Fetched is what came of fetching something.
type Fetched struct {
	URL string `json:"url"`
	// Fetched is "no" where it is certain that it cannot be fetched: by a
	// sender or a receiver of mail no more than here. Failure is the reason,
	// FailureDetail what that is about.
	Fetched       State  `json:"fetched"`
	Failure       string `json:"failure,omitempty"`
	FailureDetail string `json:"failure_detail,omitempty"`
}

// fetch gets one thing, and fills in what came of it.
func (in *inspection) fetch(ctx context.Context, f *Fetched, url string, most int, chosen bool) (body []byte, mediaType string) {
	f.URL = explain.Clip(url)
	body, mediaType, err := in.o.Fetch.Fetch(ctx, url, most, chosen)
	if err == nil {
		f.Fetched = Yes
		return body, mediaType
	}
	f.Fetched, f.Failure = Unknown, "broken"
	var why interface {
		Temporary() bool
		Reason() string
		Detail() string
	}
	if errors.As(err, &why) {
		f.Failure, f.FailureDetail = why.Reason(), explain.Clip(why.Detail())
		if !why.Temporary() {
			f.Fetched = No
		}
	}
	return nil, ""
}

// unfetched is the finding of what certainly cannot be fetched: the code, or
// with "-detail" after it.
func (f *Fetched) unfetched(code, withDetail, ref string) explain.Finding {
	args := explain.Args{"url": f.URL, "reason": f.Failure}
	if f.FailureDetail != "" {
		code = withDetail
		args["detail"] = f.FailureDetail
	}
	return explain.Finding{Grade: explain.Error, Step: explain.Step{Code: code, Args: args, Ref: ref}}
}
