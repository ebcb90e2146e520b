package builtins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.starlark.net/starlark"

	"starbook/gpu"
	"starbook/gpu/model"
)

type modelExportArgs struct {
	Model Handle `arg:"model" kind:"model|adapter" doc:"what to write"`
	Path  string `arg:"path" doc:"folder, from the notebook's; files in it are replaced. A model may also become a file: name.gguf"`
	Type  string `arg:"type=bf16" doc:"of the matrices in a GGUF file: f32, f16, bf16 or q8_0"`
}

func modelExport() Func {
	return plain("model.export", "Writes a model or an adapter as a folder, or a model as a GGUF file, that other tools read.\n"+
		"Of a GGUF file it returns error, the relative error of the matrices that the type costs, worst, the matrix with the\n"+
		"largest, worst_error and bytes.",
		func(ctx context.Context, c *Call, a modelExportArgs) (starlark.Value, error) {
			if !strings.HasSuffix(a.Path, ".gguf") {
				return starlark.None, c.Host.export(c.Run.Store, a.Model, a.Path)
			}
			return exportGGUF(ctx, c, a)
		}).acts()
}

func exportGGUF(ctx context.Context, c *Call, a modelExportArgs) (starlark.Value, error) {
	typ, ok := map[string]gpu.Type{"f32": gpu.F32, "f16": gpu.F16, "bf16": gpu.BF16, "q8_0": gpu.Q8_0}[a.Type]
	if !ok || a.Model.Kind != "model" {
		return nil, fmt.Errorf("got a %s as %q, want a model as f32, f16, bf16 or q8_0", a.Model.Kind, a.Type)
	}
	dir, remove, err := lay(c.Run.Store, a.Model)
	if err != nil {
		return nil, err
	}
	defer remove()
	out, err := os.MkdirTemp("", "starbook-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	path := filepath.Join(out, "model.gguf")
	cost, err := model.ExportGGUF(ctx, dir, path, modelName(a.Model), typ)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := c.Host.place(a.Path, f); err != nil {
		return nil, err
	}
	facts := starlark.NewDict(4)
	for _, kv := range []starlark.Tuple{
		{starlark.String("error"), starlark.Float(cost.Error)},
		{starlark.String("worst"), starlark.String(cost.Worst)},
		{starlark.String("worst_error"), starlark.Float(cost.WorstError)},
		{starlark.String("bytes"), starlark.MakeInt(cost.Bytes)},
	} {
		if err := facts.SetKey(kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	return facts, nil
}
