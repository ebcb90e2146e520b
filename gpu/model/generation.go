package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Generation is what a model's generation_config.json recommends. Only EOS is
// followed unasked; the rest is for those who ask for it.
type Generation struct {
	EOS         []int32 // any of them ends a completion; nil: as config.json says
	Sample      bool    // rather than the likeliest token
	Temperature float64
	TopP        float64
	TopK        int
	Penalty     float64 // of repetition
}

// readGeneration reads the generation_config.json of a model directory, which
// need not be there. Absent keys have transformers' defaults.
func readGeneration(dir string) (Generation, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "generation_config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Generation{Temperature: 1, TopP: 1, TopK: 50, Penalty: 1}, nil
	}
	if err != nil {
		return Generation{}, fmt.Errorf("model: %w", err)
	}
	var w struct {
		EOS         json.RawMessage `json:"eos_token_id"`
		Sample      bool            `json:"do_sample"`
		Temperature *float64        `json:"temperature"`
		TopP        *float64        `json:"top_p"`
		TopK        *int            `json:"top_k"`
		Penalty     *float64        `json:"repetition_penalty"`
	}
	err = json.Unmarshal(raw, &w)
	g := Generation{Sample: w.Sample, Temperature: or(w.Temperature, 1), TopP: or(w.TopP, 1), TopK: or(w.TopK, 50), Penalty: or(w.Penalty, 1)}
	if err == nil {
		g.EOS, err = parseIDs("eos_token_id", w.EOS, "")
	}
	if err != nil {
		return g, fmt.Errorf("model: %s: %w", filepath.Join(dir, "generation_config.json"), err)
	}
	return g, nil
}

// Stops returns the tokens that end a completion: those of
// generation_config.json, or else of config.json.
func (m *Transformer) Stops() []int32 { return m.Generation.stops(m.Config) }

func (g Generation) stops(c Config) []int32 {
	if len(g.EOS) > 0 {
		return g.EOS
	}
	return c.EOS
}

// ReadStops returns the Stops of the model in a directory, which need not be loaded.
func ReadStops(dir string) ([]int32, error) {
	c, err := ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, err
	}
	g, err := readGeneration(dir)
	return g.stops(c), err
}
