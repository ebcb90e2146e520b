package builtins

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"starbook/gpu/safetensors"
	"starbook/gpu/train"
	"starbook/runtime/store"
)

// A file of tokens is a safetensors file. Row i has the ids from starts[i] up to
// starts[i+1]; bit k%8 of byte k/8 of trained says whether id k is learnt; roots is a JSON
// list of strings, the first ancestor of each row.
const (
	tokensIDs     = "ids" // U16 if all fit, else I32
	tokensTrained = "trained"
	tokensStarts  = "starts"
	tokensRoots   = "roots"
)

func (t *tokens) write(w io.Writer) error {
	starts, n, largest := make([]byte, 8), 0, int32(0)
	for _, e := range t.examples {
		n += len(e.Tokens)
		starts = binary.LittleEndian.AppendUint64(starts, uint64(n))
		if len(e.Tokens) > 0 {
			largest = max(largest, slices.Max(e.Tokens))
		}
	}
	ids, dtype := make([]byte, 0, 4*n), "I32"
	if largest <= math.MaxUint16 {
		dtype = "U16"
	}
	trained := make([]byte, (n+7)/8)
	at := 0
	for _, e := range t.examples {
		for i, id := range e.Tokens {
			if dtype == "U16" {
				ids = binary.LittleEndian.AppendUint16(ids, uint16(id))
			} else {
				ids = binary.LittleEndian.AppendUint32(ids, uint32(id))
			}
			if e.Trained[i] {
				trained[at/8] |= 1 << (at % 8)
			}
			at++
		}
	}
	roots, err := json.Marshal(t.roots)
	if err != nil {
		return err
	}
	return safetensors.Write(w, []safetensors.Tensor{
		{Name: tokensIDs, DType: dtype, Shape: []int{n}, Data: ids},
		{Name: tokensTrained, DType: "U8", Shape: []int{len(trained)}, Data: trained},
		{Name: tokensStarts, DType: "I64", Shape: []int{len(t.examples) + 1}, Data: starts},
		{Name: tokensRoots, DType: "U8", Shape: []int{len(roots)}, Data: roots},
	}, nil)
}

// openTensors reads a blob of tensors, if its bytes are those that were written.
func openTensors(st *store.Store, g digest) (*safetensors.File, error) {
	raw, err := st.Blobs.ReadAll(g)
	if err != nil {
		return nil, err
	}
	return safetensors.Parse(raw)
}

// openTokens reads a file of tokens, if its bytes are those that were written.
func openTokens(st *store.Store, g digest) (*tokens, error) {
	file, err := openTensors(st, g)
	if err != nil {
		return nil, err
	}
	t, err := tokensIn(file)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", g.Short(), err)
	}
	return t, nil
}

var errNoTokens = errors.New("it is no file of tokens")

func tokensIn(file *safetensors.File) (*tokens, error) {
	ids, _ := file.Tensor(tokensIDs)
	trained, _ := file.Tensor(tokensTrained)
	starts, _ := file.Tensor(tokensStarts)
	roots, _ := file.Tensor(tokensRoots)
	t := &tokens{}
	if err := json.Unmarshal(roots.Data, &t.roots); err != nil {
		return nil, errNoTokens
	}
	n := ids.Len()
	if len(starts.Data) != 8*(len(t.roots)+1) || len(trained.Data) != (n+7)/8 {
		return nil, errNoTokens
	}
	all, marks := make([]int32, n), make([]bool, n)
	switch ids.DType {
	case "U16":
		for i := range all {
			all[i] = int32(binary.LittleEndian.Uint16(ids.Data[2*i:]))
		}
	case "I32":
		for i := range all {
			all[i] = int32(binary.LittleEndian.Uint32(ids.Data[4*i:]))
		}
	default:
		return nil, errNoTokens
	}
	for i := range marks {
		marks[i] = trained.Data[i/8]>>(i%8)&1 == 1
	}
	t.examples = make([]train.Example, len(t.roots))
	from := 0
	for i := range t.examples {
		to := binary.LittleEndian.Uint64(starts.Data[8*(i+1):])
		if to < uint64(from) || to > uint64(n) {
			return nil, errNoTokens
		}
		t.examples[i] = train.Example{Tokens: all[from:to:to], Trained: marks[from:to:to]}
		from = int(to)
	}
	return t, nil
}
