package builtins

import (
	"os"
	"testing"

	"starbook/builtins/grade"
)

func TestMain(m *testing.M) {
	grade.ChildMain()
	os.Exit(m.Run())
}
