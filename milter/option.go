package milter

// Action is a set of changes that a filter may make to a message (SMFIF_*).
type Action uint32

// The actions, with Sendmail's names.
const (
	ActAddHeader    Action = 1 << 0 // SMFIF_ADDHDRS: AddHeader, InsertHeader
	ActChangeBody   Action = 1 << 1 // SMFIF_CHGBODY: ReplaceBody
	ActAddRcpt      Action = 1 << 2 // SMFIF_ADDRCPT
	ActDeleteRcpt   Action = 1 << 3 // SMFIF_DELRCPT
	ActChangeHeader Action = 1 << 4 // SMFIF_CHGHDRS: ChangeHeader, DeleteHeader
	ActQuarantine   Action = 1 << 5 // SMFIF_QUARANTINE
	ActChangeFrom   Action = 1 << 6 // SMFIF_CHGFROM
	ActAddRcptArgs  Action = 1 << 7 // SMFIF_ADDRCPT_PAR: AddRcpt with parameters
	ActSetMacros    Action = 1 << 8 // SMFIF_SETSYMLIST: the filter chooses the macros it is sent
)

// Step is a set of steps of the protocol (SMFIP_*).
type Step uint32

// The steps, with Sendmail's names. A filter asks not to be sent the No ones
// and not to be waited for at the NoReply ones.
const (
	NoConnect      Step = 1 << 0  // SMFIP_NOCONNECT
	NoHelo         Step = 1 << 1  // SMFIP_NOHELO
	NoMail         Step = 1 << 2  // SMFIP_NOMAIL
	NoRcpt         Step = 1 << 3  // SMFIP_NORCPT
	NoBody         Step = 1 << 4  // SMFIP_NOBODY
	NoHeader       Step = 1 << 5  // SMFIP_NOHDRS
	NoEndOfHeader  Step = 1 << 6  // SMFIP_NOEOH
	NoReplyHeader  Step = 1 << 7  // SMFIP_NR_HDR
	NoUnknown      Step = 1 << 8  // SMFIP_NOUNKNOWN
	NoData         Step = 1 << 9  // SMFIP_NODATA
	CanSkip        Step = 1 << 10 // SMFIP_SKIP: the MTA understands Skip
	RcptRejected   Step = 1 << 11 // SMFIP_RCPT_REJ: rejected recipients are sent too
	NoReplyConnect Step = 1 << 12 // SMFIP_NR_CONN
	NoReplyHelo    Step = 1 << 13 // SMFIP_NR_HELO
	NoReplyMail    Step = 1 << 14 // SMFIP_NR_MAIL
	NoReplyRcpt    Step = 1 << 15 // SMFIP_NR_RCPT
	NoReplyData    Step = 1 << 16 // SMFIP_NR_DATA
	NoReplyUnknown Step = 1 << 17 // SMFIP_NR_UNKN
	NoReplyEOH     Step = 1 << 18 // SMFIP_NR_EOH
	NoReplyBody    Step = 1 << 19 // SMFIP_NR_BODY
	LeadingSpace   Step = 1 << 20 // SMFIP_HDR_LEADSPC: the space after the colon is part of the value
)

// Offer is what a filter asks of an MTA when a connection begins. What the MTA
// does not have is left out; Session.Has says what there is.
type Offer struct {
	Actions Action            // the changes the filter makes; zero: headers and quarantine
	Without []Kind            // events that the filter does not want
	Answers []Kind            // events before EndOfMessage that Reply is used for; the MTA waits for no answer at the others
	Macros  map[Kind][]string // the macros wanted at a step, instead of the MTA's own choice; only for Connect, Helo, Mail, Rcpt, Data, EndOfHeader and EndOfMessage
}
