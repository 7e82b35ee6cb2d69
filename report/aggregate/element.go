package aggregate

// elementID numbers the elements that a report is made of, both forms
// together. It fits into a bit of elementSet.
type elementID uint8

const (
	idFeedback elementID = iota
	idVersion
	idMetadata
	idOrgName
	idEmail
	idContact
	idReportID
	idDateRange
	idBegin
	idEnd
	idError
	idGenerator
	idPolicy
	idDomain
	idADKIM
	idASPF
	idP
	idSP
	idNP
	idPCT
	idFO
	idTesting
	idDiscovery
	idExtension
	idRecord
	idRow
	idSourceIP
	idCount
	idEvaluated
	idDisposition
	idAlignedDKIM
	idAlignedSPF
	idReason
	idReasonType
	idReasonComment
	idIdentifiers
	idHeaderFrom
	idEnvelopeFrom
	idEnvelopeTo
	idAuthResults
	idDKIM
	idDKIMDomain
	idDKIMSelector
	idDKIMResult
	idDKIMHuman
	idSPF
	idSPFDomain
	idSPFScope
	idSPFResult
	idSPFHuman
	elementCount
)

// elementSet is a set of elements.
type elementSet uint64

func (s elementSet) has(id elementID) bool { return s>>id&1 != 0 }
func (s *elementSet) add(id elementID)     { *s |= 1 << id }

// element is one element of the report's tree.
type element struct {
	name string
	path string // from below feedback, "record/row/count"
	kids []*element
	// open marks where RFC 9990 admits elements of others (§3.1.1, §3.1.1.1).
	open bool
	id   elementID
	leaf bool // holds text, no elements
}

// root is the tree of both forms. RFC 7489 appendix C, RFC 9990 appendix A.
var root = describe()

func describe() *element {
	leaf := func(id elementID, name string) *element {
		return &element{id: id, name: name, leaf: true}
	}
	node := func(id elementID, name string, kids ...*element) *element {
		return &element{id: id, name: name, kids: kids}
	}
	record := node(idRecord, "record",
		node(idRow, "row",
			leaf(idSourceIP, "source_ip"),
			leaf(idCount, "count"),
			node(idEvaluated, "policy_evaluated",
				leaf(idDisposition, "disposition"),
				leaf(idAlignedDKIM, "dkim"),
				leaf(idAlignedSPF, "spf"),
				node(idReason, "reason",
					leaf(idReasonType, "type"),
					leaf(idReasonComment, "comment")))),
		node(idIdentifiers, "identifiers",
			leaf(idEnvelopeTo, "envelope_to"),
			leaf(idEnvelopeFrom, "envelope_from"),
			leaf(idHeaderFrom, "header_from")),
		node(idAuthResults, "auth_results",
			node(idDKIM, "dkim",
				leaf(idDKIMDomain, "domain"),
				leaf(idDKIMSelector, "selector"),
				leaf(idDKIMResult, "result"),
				leaf(idDKIMHuman, "human_result")),
			node(idSPF, "spf",
				leaf(idSPFDomain, "domain"),
				leaf(idSPFScope, "scope"),
				leaf(idSPFResult, "result"),
				leaf(idSPFHuman, "human_result"))))
	record.open = true
	// Only the tag is read here; what is inside is never looked into.
	extension := node(idExtension, "extension")
	extension.open = true
	root := node(idFeedback, "feedback",
		record,
		leaf(idVersion, "version"),
		node(idMetadata, "report_metadata",
			leaf(idOrgName, "org_name"),
			leaf(idEmail, "email"),
			leaf(idContact, "extra_contact_info"),
			leaf(idReportID, "report_id"),
			node(idDateRange, "date_range",
				leaf(idBegin, "begin"),
				leaf(idEnd, "end")),
			leaf(idError, "error"),
			leaf(idGenerator, "generator")),
		node(idPolicy, "policy_published",
			leaf(idDomain, "domain"),
			leaf(idADKIM, "adkim"),
			leaf(idASPF, "aspf"),
			leaf(idP, "p"),
			leaf(idSP, "sp"),
			leaf(idNP, "np"),
			leaf(idPCT, "pct"),
			leaf(idFO, "fo"),
			leaf(idTesting, "testing"),
			leaf(idDiscovery, "discovery_method")),
		extension)
	name(root, "")
	return root
}

// name fills in the paths below e.
func name(e *element, prefix string) {
	for _, k := range e.kids {
		k.path = prefix + k.name
		name(k, k.path+"/")
	}
}

// otherNames are names under which an element was met in real reports.
func otherName(parent elementID, name string) string {
	switch {
	case parent == idRecord && name == "identities":
		return "identifiers"
	case parent == idPolicy && name == "t": // the tag's name instead of the element's
		return "testing"
	}
	return ""
}
