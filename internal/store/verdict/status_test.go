package verdict

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestStatus(t *testing.T) {
	dir := t.TempDir()
	if _, ok, err := ReadStatus(filepath.Join(dir, "none")); ok || err != nil {
		t.Fatalf("no folder: %v, %v", ok, err)
	}
	want := Status{At: time.Now().UTC().Round(0), PID: 7, Mode: "enforce", Listen: []string{"unix:/run/x"}, Keep: 30, Waiting: 3, Fault: "disk full"}
	for range 2 {
		if err := WriteStatus(dir, want); err != nil {
			t.Fatal(err)
		}
		got, ok, err := ReadStatus(dir)
		if err != nil || !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v, %v", got, ok, err)
		}
		want.Stopped = true
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("left over: %v", names)
	}
}
