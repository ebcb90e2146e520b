package builtins

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.starlark.net/starlark"

	"starbook/builtins/hub"
	"starbook/runtime"
	"starbook/runtime/event"
)

const hubDoc = "HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT and HF_HUB_OFFLINE are honoured, and the cache is the one that huggingface_hub uses.\n" +
	"A transfer that breaks off is gone on from; every file is checked against its hash."

type modelHubArgs struct {
	Repo string `arg:"repo" doc:"org/name, or org/name@revision: a branch, a tag or a commit; only a commit never changes"`
}

func modelHub() Func {
	return plain("model.hub", "Fetches a model from the Hugging Face Hub, no pickles, and returns its folder, for model.open.\n"+hubDoc,
		func(ctx context.Context, c *Call, a modelHubArgs) (starlark.Value, error) {
			dir, err := c.fetch(ctx, "models", a.Repo, modelFiles)
			return starlark.String(dir), err
		})
}

type dataHubArgs struct {
	Repo string `arg:"repo" doc:"org/name of a dataset, or org/name@revision"`
	File string `arg:"file" doc:"which of its files, such as data/train.jsonl"`
}

func dataHub() Func {
	return plain("data.hub", "Fetches a file of a dataset from the Hugging Face Hub, and returns its path, for data.jsonl and its kin.\n"+hubDoc,
		func(ctx context.Context, c *Call, a dataHubArgs) (starlark.Value, error) {
			if !filepath.IsLocal(a.File) {
				return nil, errors.New("file: want the name of a file in the repository")
			}
			dir, err := c.fetch(ctx, "datasets", a.Repo, func(name string) bool { return name == a.File })
			return starlark.String(filepath.Join(dir, filepath.FromSlash(a.File))), err
		})
}

// fetch gets some files of a repository, and says how far it is every few seconds.
func (c *Call) fetch(ctx context.Context, kind, name string, want func(string) bool) (string, error) {
	repo, err := hub.ParseRepo(kind, name)
	if err != nil {
		return "", err
	}
	h, err := hub.FromEnv(c.Host.env)
	if err != nil {
		return "", err
	}
	if c.Run.Planning() != nil { // what is not in the cache is fetched by the run
		h.Offline = true
		dir, err := h.Snapshot(ctx, repo, want, nil)
		if err != nil {
			err = &runtime.Missing{}
		}
		return dir, err
	}
	said := time.Now()
	return h.Snapshot(ctx, repo, want, func(file string, done, size int64) {
		if time.Since(said) > 5*time.Second && done < size {
			said = time.Now()
			c.Run.Emit(c.Thread, event.Event{Kind: event.Log, Text: fmt.Sprintf("%s: %s: %d of %d MB", repo, file, done>>20, size>>20)})
		}
	})
}
