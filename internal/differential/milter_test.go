package differential

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// milter speaks to a mail filter as an MTA does (protocol version 6), one
// message after the other on a connection.
type milter struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
}

// action is what the filter wants done at the end of a message.
type action struct {
	fields     []string // added: "Name: value"
	quarantine string
	verdict    byte // 'a' accept, 'c' continue, 'r' reject, 't' temporary failure, 'y' reply code
	reply      string
}

func dialMilter(socket string) (*milter, error) {
	var conn net.Conn
	var err error
	for range 100 { // it may still be starting
		if conn, err = net.Dial("unix", socket); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return nil, err
	}
	m := &milter{conn: conn, r: bufio.NewReader(conn), w: bufio.NewWriter(conn)}
	options := binary.BigEndian.AppendUint32(nil, 6)
	options = binary.BigEndian.AppendUint32(options, 0x1ff) // every action; no step may be left out
	options = binary.BigEndian.AppendUint32(options, 0)
	if err := m.send('O', options); err != nil {
		return nil, err
	}
	if cmd, _, err := m.receive(); err != nil || cmd != 'O' {
		return nil, fmt.Errorf("the filter does not negotiate: %q, %w", cmd, err)
	}
	return m, nil
}

func (m *milter) send(cmd byte, data []byte) error {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))
	if _, err := m.w.Write(append(head, cmd)); err != nil {
		return err
	}
	if _, err := m.w.Write(data); err != nil {
		return err
	}
	return m.w.Flush()
}

func (m *milter) receive() (byte, []byte, error) {
	_ = m.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	var head [5]byte
	if _, err := io.ReadFull(m.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > 1<<20 {
		return 0, nil, errors.New("the filter sent nonsense")
	}
	data := make([]byte, n-1)
	_, err := io.ReadFull(m.r, data)
	return head[4], data, err
}

// step sends a command and waits for the answer to it.
func (m *milter) step(cmd byte, parts ...string) (byte, error) {
	var data []byte
	for _, p := range parts {
		data = append(append(data, p...), 0)
	}
	if err := m.send(cmd, data); err != nil {
		return 0, err
	}
	answer, _, err := m.receive()
	return answer, err
}

// connect says who the client is.
func (m *milter) connect(host, address string) error {
	data := append([]byte(host), 0, '4', 0, 25)
	if err := m.send('C', append(append(data, address...), 0)); err != nil {
		return err
	}
	if _, _, err := m.receive(); err != nil {
		return err
	}
	_, err := m.step('H', host)
	return err
}

// message hands a message over and returns what is to be done with it.
func (m *milter) message(id, from string, fields []string) (action, error) {
	macros := append([]byte{'M'}, "i\x00"+id+"\x00"...)
	if err := m.send('D', macros); err != nil {
		return action{}, err
	}
	if _, err := m.step('M', "<"+from+">"); err != nil {
		return action{}, err
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(strings.TrimSuffix(f, "\r\n"), ":")
		if _, err := m.step('L', name, strings.TrimPrefix(value, " ")); err != nil {
			return action{}, err
		}
	}
	if _, err := m.step('N'); err != nil {
		return action{}, err
	}
	if err := m.send('E', nil); err != nil {
		return action{}, err
	}
	var a action
	for {
		cmd, data, err := m.receive()
		if err != nil {
			return a, err
		}
		switch cmd {
		case 'h', 'i': // add a field; insert one, after an index of four octets
			if cmd == 'i' && len(data) >= 4 {
				data = data[4:]
			}
			name, rest, _ := strings.Cut(string(data), "\x00")
			a.fields = append(a.fields, name+": "+strings.TrimRight(rest, "\x00"))
		case 'q':
			a.quarantine = strings.TrimRight(string(data), "\x00")
		case 'a', 'c', 'r', 't', 'd', 'y':
			a.verdict, a.reply = cmd, strings.TrimRight(string(data), "\x00")
			return a, nil
		}
	}
}
