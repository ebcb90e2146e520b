package sim

import "testing"

func TestBuild(t *testing.T) {
	dir, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(dir)
}
