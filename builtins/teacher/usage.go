package teacher

import "encoding/json"

// Usage is in tokens. Cached and Written are parts of Input, Reasoning of Output.
type Usage struct {
	Input     int64
	Cached    int64 // read from the provider's cache
	Written   int64 // written to it
	Output    int64
	Reasoning int64
}

// openAIUsage reads the usage of a chat completion. Cached tokens are inside of
// prompt_tokens and reasoning inside of completion_tokens; but where total_tokens
// is more than their sum (xAI), reasoning stands beside completion_tokens and is
// billed as output as well. DeepSeek has its own name for cached tokens.
func openAIUsage(raw []byte) Usage {
	var body struct {
		Usage struct {
			Prompt     int64 `json:"prompt_tokens"`
			Completion int64 `json:"completion_tokens"`
			Total      int64 `json:"total_tokens"`
			CacheHit   int64 `json:"prompt_cache_hit_tokens"`
			PromptHas  struct {
				Cached  int64 `json:"cached_tokens"`
				Written int64 `json:"cache_write_tokens"`
			} `json:"prompt_tokens_details"`
			CompletionHas struct {
				Reasoning int64 `json:"reasoning_tokens"`
			} `json:"completion_tokens_details"`
		} `json:"usage"`
	}
	if json.Unmarshal(raw, &body) != nil {
		return Usage{}
	}
	u := body.Usage
	return Usage{
		Input: u.Prompt, Cached: min(u.Prompt, max(u.PromptHas.Cached, u.CacheHit)), Written: u.PromptHas.Written,
		Output: max(u.Completion, u.Total-u.Prompt), Reasoning: u.CompletionHas.Reasoning,
	}
}

// anthropicUsage reads the usage of a message. input_tokens are only those that
// neither came from the cache nor went into it.
func anthropicUsage(raw []byte) Usage {
	var body struct {
		Usage struct {
			Input     int64 `json:"input_tokens"`
			Read      int64 `json:"cache_read_input_tokens"`
			Written   int64 `json:"cache_creation_input_tokens"`
			Output    int64 `json:"output_tokens"`
			OutputHas struct {
				Thinking int64 `json:"thinking_tokens"`
			} `json:"output_tokens_details"`
		} `json:"usage"`
	}
	if json.Unmarshal(raw, &body) != nil {
		return Usage{}
	}
	u := body.Usage
	return Usage{Input: u.Input + u.Read + u.Written, Cached: u.Read, Written: u.Written, Output: u.Output, Reasoning: u.OutputHas.Thinking}
}
