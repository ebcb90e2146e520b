package builtins

import (
	"context"
	"encoding/json"

	"starbook/gpu/model"
	"starbook/gpu/safetensors"
	"starbook/runtime"
	"starbook/runtime/store"
)

func principalKind() KindDoc {
	return KindDoc{
		Name: "principal",
		Doc: "The principal parts of a base's matrices, in a safetensors file: lora.train with init=\"pissa\" finds them once for each base,\n" +
			"its targets, ranks and scales, and shares them.",
		Facts: []Fact{{"trainable", "numbers that are trained"}},
	}
}

// principalVersion is raised when model.Principal returns other bits.
const principalVersion = 1

// begin returns the adapter of m, which is a.Model, as it is before the first update.
func (a *loraTrainArgs) begin(ctx context.Context, s *runtime.Step, m *model.Transformer) (*model.Adapter, error) {
	l := a.lora()
	if l.Init != model.PiSSA {
		return model.NewAdapter(m, l)
	}
	part := l
	part.Seed, part.Dropout = 0, 0 // they change nothing
	args, err := json.Marshal(map[string]any{"model": a.Model.Digest, "lora": part})
	if err != nil {
		return nil, err
	}
	spec := runtime.Spec{Name: "lora.principal", Version: principalVersion, Args: args, Inputs: []digest{a.Model.Digest}}
	first, err := once(ctx, s, spec, func(context.Context) ([]float32, runtime.Artifact, error) {
		first, err := model.Principal(m, l)
		if err != nil {
			return nil, runtime.Artifact{}, err
		}
		art, err := keepPrincipal(s, first)
		return first, art, err
	}, openPrincipal)
	if err != nil {
		return nil, err
	}
	return model.NewPrincipal(m, l, first)
}

func keepPrincipal(s *runtime.Step, first []float32) (runtime.Artifact, error) {
	w, err := s.Create()
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.Abort()
	raw, err := safetensors.AppendF32(nil, "F32", first)
	if err != nil {
		return runtime.Artifact{}, err
	}
	if err := safetensors.Write(w, []safetensors.Tensor{{Name: "principal", DType: "F32", Shape: []int{len(first)}, Data: raw}}, nil); err != nil {
		return runtime.Artifact{}, err
	}
	g, err := w.Commit()
	return runtime.Artifact{Kind: "principal", Digest: g, Summary: summary(Facts{"trainable": len(first)})}, err
}

func openPrincipal(st *store.Store, g digest) ([]float32, error) {
	file, err := openTensors(st, g)
	if err != nil {
		return nil, err
	}
	t, _ := file.Tensor("principal")
	return t.F32()
}
