"""How fast llama.cpp decodes on a CPU: the peer of BenchmarkDecode in gpu/model, which runs it.

    yes | head -5 | python gpu/cpu/peer_decode.py MODEL.gguf [--threads 2]

The first line says what this is. Each line read decodes 64 tokens greedily after a prompt of 32, one
sequence at a time; written are how many seconds the 64 took, by the clock and of the processors, and the tokens.
"""

import argparse
import ctypes
import sys
import time

PROMPT, NEW = 32, 64


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--threads", type=int, default=2)
    o = p.parse_args()
    import llama_cpp
    import numpy

    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)
    how = llama_cpp.llama_model_default_params()
    how.use_extra_bufts = False  # weights as they lie in the file; with them it died of SIGILL in a virtual machine, probably in its AMX kernels
    model = llama_cpp.llama_model_load_from_file(o.model.encode(), how)
    size = llama_cpp.llama_context_default_params()
    size.n_ctx, size.n_threads, size.n_threads_batch = 512, o.threads, o.threads
    ctx = llama_cpp.llama_init_from_model(model, size)
    vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    prompt = [100 + 37 * i for i in range(PROMPT)]

    def likeliest():
        logits = llama_cpp.llama_get_logits_ith(ctx, -1)
        return int(numpy.ctypeslib.as_array(logits, shape=(vocab,)).argmax())

    def feed(tokens):
        ids = (ctypes.c_int32 * len(tokens))(*tokens)  # the batch holds no reference to it
        if llama_cpp.llama_decode(ctx, llama_cpp.llama_batch_get_one(ids, len(tokens))) != 0:
            sys.exit("llama_decode failed")

    info = llama_cpp.llama_print_system_info().decode()
    print(f"llama-cpp-python {llama_cpp.__version__}, {o.threads} threads, {info}", flush=True)
    for _ in sys.stdin:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(ctx), True)
        feed(prompt)
        tokens = [likeliest()]
        start, used = time.perf_counter(), time.process_time()
        while len(tokens) <= NEW:
            feed(tokens[-1:])
            tokens.append(likeliest())
        print(time.perf_counter() - start, time.process_time() - used, *tokens, flush=True)


if __name__ == "__main__":
    main()
