package authres_test

import (
	"fmt"

	"sekimori/authres"
	"sekimori/message"
)

func ExampleParse() {
	r, err := authres.Parse("mx.example.jp; dkim=pass header.d=example.jp; dmarc=bestguesspass header.from=example.jp")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, one := range r.Results {
		fmt.Printf("%s=%s %q\n", one.Method, one.Value, one.Note)
	}
	// Output:
	// dkim=pass ""
	// dmarc=none "bestguesspass"
}

func ExampleResults_String() {
	r := authres.Results{AuthServID: "mx.example.jp", Results: []authres.Result{{
		Method: "spf", Value: "fail",
		Props: []authres.Prop{{Type: "smtp", Name: "helo", Value: "evil; dmarc=pass"}},
	}}}
	fmt.Println(r.String())
	// Output:
	// mx.example.jp; spf=fail smtp.helo="evil; dmarc=pass"
}

func ExampleForged() {
	f, _ := message.ParseField("Authentication-Results: MX.Example.JP (really); dmarc=pass\r\n")
	fmt.Println(authres.Forged(message.Header{f}, "mx.example.jp"))
	// Output:
	// [0]
}
