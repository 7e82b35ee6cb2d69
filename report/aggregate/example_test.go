package aggregate_test

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"sekimori/report/aggregate"
)

func ExampleReader() {
	r := aggregate.NewReader(strings.NewReader(`<?xml version="1.0"?>
<feedback>
  <report_metadata>
    <org_name>Receiver</org_name>
    <email>dmarc@receiver.example</email>
    <report_id>1</report_id>
    <date_range><begin>1700000000</begin><end>1700086399</end></date_range>
  </report_metadata>
  <policy_published><domain>example.jp</domain><p>none</p><sp>none</sp></policy_published>
  <record>
    <row>
      <source_ip>192.0.2.1</source_ip>
      <count>12</count>
      <policy_evaluated><disposition>none</disposition><dkim>Pass</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers><envelope_from>example.jp</envelope_from><header_from>Example.JP</header_from></identifiers>
    <auth_results><spf><domain>example.jp</domain><scope>mfrom</scope><result>softfail</result></spf></auth_results>
  </record>
</feedback>`), aggregate.Limits{})
	var rec aggregate.Record
	for {
		err := r.Next(&rec)
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(rec.SourceIP, rec.HeaderFrom, rec.Count, rec.DKIM, rec.SPFResults[0].Result)
	}
	report, _ := r.Report()
	for _, d := range report.Deviations {
		fmt.Printf("line %d: %s at %s: %s\n", d.Line, d.Code, d.Element, d.Detail)
	}
	// Output:
	// 192.0.2.1 example.jp 12 true softfail
	// line 14: mixed-case at record/row/policy_evaluated/dkim: Pass
}

func ExampleNewWriter() {
	begin := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	w, err := aggregate.NewWriter(os.Stdout, aggregate.RFC9990, aggregate.Report{
		Metadata: aggregate.Metadata{
			OrgName: "Receiver", Email: "dmarc@receiver.example", ReportID: "20261120-1",
			Begin: begin, End: begin.Add(24*time.Hour - time.Second),
		},
		PolicyPublished: aggregate.PolicyPublished{Domain: "example.jp", P: "reject", DiscoveryMethod: "treewalk"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = w.WriteRecord(&aggregate.Record{
		SourceIP: netip.MustParseAddr("192.0.2.1"), Count: 12, Disposition: aggregate.DispositionPass, DKIM: true,
		HeaderFrom:  "example.jp",
		DKIMResults: []aggregate.DKIMResult{{Domain: "example.jp", Selector: "s1", Result: "pass"}},
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// <?xml version="1.0" encoding="UTF-8"?>
	// <feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
	//   <version>1.0</version>
	//   <report_metadata>
	//     <org_name>Receiver</org_name>
	//     <email>dmarc@receiver.example</email>
	//     <report_id>20261120-1</report_id>
	//     <date_range>
	//       <begin>1795132800</begin>
	//       <end>1795219199</end>
	//     </date_range>
	//   </report_metadata>
	//   <policy_published>
	//     <domain>example.jp</domain>
	//     <p>reject</p>
	//     <discovery_method>treewalk</discovery_method>
	//   </policy_published>
	//   <record>
	//     <row>
	//       <source_ip>192.0.2.1</source_ip>
	//       <count>12</count>
	//       <policy_evaluated>
	//         <disposition>pass</disposition>
	//         <dkim>pass</dkim>
	//         <spf>fail</spf>
	//       </policy_evaluated>
	//     </row>
	//     <identifiers>
	//       <header_from>example.jp</header_from>
	//     </identifiers>
	//     <auth_results>
	//       <dkim>
	//         <domain>example.jp</domain>
	//         <selector>s1</selector>
	//         <result>pass</result>
	//       </dkim>
	//     </auth_results>
	//   </record>
	// </feedback>
}
