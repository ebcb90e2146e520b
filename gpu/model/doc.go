// Package model is language models of the Llama kind that can be trained (Llama,
// Mistral, Qwen2 and Qwen3): configuration and weights as Hugging Face stores
// them, LoRA adapters as PEFT stores them, a forward and a hand-written
// backward pass over packed sequences, and generation with a key/value cache.
// Everything that computes runs on a gpu.Device.
//
// A Transformer owns weights and nothing else. A Pass owns the activations of
// one micro-batch, and with them the choice of adapter, so a Transformer can be
// run with several adapters, or with none, side by side.
//
// The letters N, D, H, K, E, F, V and R mean what package gpu says; C is the
// rows of logits that exist at a time. A buffer's shape stands beside it.
package model
