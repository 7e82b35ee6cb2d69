package milter

import (
	"encoding/binary"
	"fmt"
	"slices"
)

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

	actAll Action = 1<<9 - 1 // SMFI_CURR_ACTS
	actV2  Action = 0x3f     // SMFI_V2_ACTS
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

	stepAll Step = 1<<21 - 1 // SMFI_CURR_PROT
	stepV2  Step = 0x7f      // SMFI_V2_PROT
)

// The versions of the protocol that are spoken.
const (
	newestVersion = 6 // SMFI_PROT_VERSION
	oldestVersion = 2
)

// Offer is what a filter asks of an MTA when a connection begins. What the MTA
// does not have is left out; Session.Has says what there is.
type Offer struct {
	Actions Action            // the changes the filter makes; zero: ActAddHeader, ActChangeHeader and ActQuarantine
	Without []Kind            // events that the filter does not want; never EndOfMessage or Abort
	Answers []Kind            // events before EndOfMessage that Reply is used for; the MTA is asked to wait for no answer at the others
	Macros  map[Kind][]string // macros wanted at Connect, Helo, Mail, Rcpt, Data, EndOfHeader or EndOfMessage, in place of the MTA's own choice there
}

// kindSteps gives the bit of not being sent an event, and of not answering it.
func kindSteps(k Kind) (no, noReply Step) {
	switch k {
	case Connect:
		return NoConnect, NoReplyConnect
	case Helo:
		return NoHelo, NoReplyHelo
	case Mail:
		return NoMail, NoReplyMail
	case Rcpt:
		return NoRcpt, NoReplyRcpt
	case Data:
		return NoData, NoReplyData
	case HeaderField:
		return NoHeader, NoReplyHeader
	case EndOfHeader:
		return NoEndOfHeader, NoReplyEOH
	case Body:
		return NoBody, NoReplyBody
	case Unknown:
		return NoUnknown, NoReplyUnknown
	}
	return 0, 0
}

// negotiated is what both sides have.
type negotiated struct {
	version uint32
	actions Action
	steps   Step
}

// readNegotiation reads the data of SMFIC_OPTNEG: version, actions, steps, and
// what may follow.
func readNegotiation(data []byte) (n negotiated, rest []byte, err error) {
	if len(data) < 12 { // MILTER_OPTLEN
		return n, nil, breach("negotiates in %d octets; 12 are needed", len(data))
	}
	n.version = binary.BigEndian.Uint32(data)
	n.actions = Action(binary.BigEndian.Uint32(data[4:]))
	n.steps = Step(binary.BigEndian.Uint32(data[8:]))
	if n.version < oldestVersion {
		return n, nil, breach("speaks version %d of the protocol; 2 to 6 are spoken here", n.version)
	}
	return n, data[12:], nil
}

// offers is what an MTA means that offers nothing: the first version's set, as
// libmilter has it.
func (n negotiated) offers() negotiated {
	if n.actions == 0 {
		n.actions = 0xf // SMFI_V1_ACTS
	}
	if n.steps == 0 {
		n.steps = 0x3f // SMFI_V1_PROT
	}
	return n
}

func (n negotiated) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, n.version)
	b = binary.BigEndian.AppendUint32(b, uint32(n.actions))
	return binary.BigEndian.AppendUint32(b, uint32(n.steps))
}

// wanted is what an Offer asks of an MTA that has everything.
func (o *Offer) wanted() negotiated {
	n := negotiated{newestVersion, o.Actions, LeadingSpace}
	if n.actions == 0 {
		n.actions = ActAddHeader | ActChangeHeader | ActQuarantine
	}
	n.actions &^= ActSetMacros
	for _, names := range o.Macros {
		if len(names) > 0 {
			n.actions |= ActSetMacros
		}
	}
	for k := Connect; k <= Unknown; k++ {
		no, noReply := kindSteps(k)
		if slices.Contains(o.Without, k) {
			n.steps |= no
		}
		if !slices.Contains(o.Answers, k) {
			n.steps |= noReply
		}
	}
	if slices.Contains(o.Answers, Body) {
		n.steps |= CanSkip
	}
	return n
}

// meet returns what of the wish a peer offers. Bits count whatever the version:
// Postfix offers some beside version 2 (milter_protocol = 2 no_header_reply).
func (n negotiated) meet(peer negotiated) negotiated {
	n.version = min(n.version, peer.version)
	n.actions &= peer.actions
	n.steps &= peer.steps
	return n
}

// macroStage gives the number of a step in a list of macros (SMFIM_*).
func macroStage(k Kind) (uint32, bool) {
	switch k {
	case Connect:
		return 0, true // SMFIM_CONNECT
	case Helo:
		return 1, true // SMFIM_HELO
	case Mail:
		return 2, true // SMFIM_ENVFROM
	case Rcpt:
		return 3, true // SMFIM_ENVRCPT
	case Data:
		return 4, true // SMFIM_DATA
	case EndOfMessage:
		return 5, true // SMFIM_EOM
	case EndOfHeader:
		return 6, true // SMFIM_EOH
	}
	return 0, false
}

// appendMacroLists appends the lists of wanted macros to a negotiation: for
// each step its number and the names, parted by spaces and ended by NUL.
func (o *Offer) appendMacroLists(b []byte) []byte {
	for k := Connect; k <= Unknown; k++ {
		at, ok := macroStage(k)
		names := o.Macros[k]
		if !ok || len(names) == 0 {
			continue
		}
		b = binary.BigEndian.AppendUint32(b, at)
		for i, name := range names {
			if i > 0 {
				b = append(b, ' ')
			}
			name = bare(name)
			if len(name) > 1 {
				name = "{" + name + "}"
			}
			b = append(b, name...)
		}
		b = append(b, 0)
	}
	return b
}

// check finds what an Offer cannot ask.
func (o *Offer) check() error {
	if o.Actions&^actAll != 0 {
		return fmt.Errorf("milter: Offer.Actions has bits %#x, which no action has", uint32(o.Actions&^actAll))
	}
	for _, k := range o.Without {
		if no, _ := kindSteps(k); no == 0 {
			return fmt.Errorf("milter: Offer.Without: %s is always sent", k)
		}
	}
	for _, k := range o.Answers {
		if _, noReply := kindSteps(k); noReply == 0 && k != EndOfMessage {
			return fmt.Errorf("milter: Offer.Answers: %s wants no answer", k)
		}
	}
	for k, names := range o.Macros {
		if _, ok := macroStage(k); !ok {
			return fmt.Errorf("milter: Offer.Macros: no macros can be chosen for %s", k)
		}
		for _, name := range names {
			if !macroName(name) {
				return fmt.Errorf("milter: Offer.Macros: %q is no name of a macro", name)
			}
		}
	}
	return nil
}

func macroName(s string) bool {
	s = bare(s)
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '{' || c == '}' {
			return false
		}
	}
	return s != ""
}
