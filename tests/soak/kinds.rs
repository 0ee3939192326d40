//! The kinds of code that are run: half ordinary, half hostile, each with its expected end.

use serde_json::{Value, json};

/// How a run of this kind ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Ok,
    Failed,
    /// Stopped after a second, or fails before that.
    Stopped,
    /// Any result is valid.
    Any,
    /// The client disconnects without waiting.
    Left,
}

/// Code that prints one line, `nonce …`, before anything else.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    pub end: End,
    code: &'static str,
}

impl Kind {
    /// A request whose response can be matched to it.
    pub fn request(&self, nonce: u64) -> Value {
        let code = self.code.replace("NONCE", &nonce.to_string());
        let limit_s = if matches!(self.end, End::Stopped) { 1 } else { 30 };
        json!({
            "code": format!("print('nonce {nonce}', flush=True)\n{code}"),
            "files": [{"name": "nonce.txt", "data": ""}],
            "timeout_s": limit_s,
        })
    }

    /// The fault in the response, if any.
    pub fn fault(&self, nonce: u64, answer: &Value) -> Option<String> {
        let fault = |what: &str| Some(format!("{} {nonce}: {what}: {answer}", self.name));
        let is_end = match self.end {
            End::Ok => answer["outcome"] == "ok",
            End::Failed => answer["outcome"] == "failed",
            End::Stopped => answer["outcome"] != "ok",
            End::Any | End::Left => true,
        };
        if !is_end {
            return fault("it ended otherwise");
        }
        let stdout = answer["stdout"].as_str().unwrap_or_default();
        if !stdout.starts_with(&format!("nonce {nonce}\n")) {
            return fault("it did not begin with its own line");
        }
        // Images can contain any letters.
        let texts = ["stdout", "stderr"].map(|name| answer[name].as_str().unwrap_or_default());
        let numbers = texts.iter().flat_map(|text| text.split("nonce ").skip(1));
        let own = nonce.to_string();
        let mut read = numbers.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
        if read.any(|number| number != Some(&own)) {
            return fault("it contains a line of another run");
        }
        None
    }
}

const fn kind(name: &'static str, end: End, code: &'static str) -> Kind {
    Kind { name, end, code }
}

pub const KINDS: &[Kind] = &[
    kind("print", End::Ok, ""),
    kind("table", End::Ok, "import pandas as pd\nprint(pd.DataFrame({'a': range(9)}).describe())"),
    kind("picture", End::Ok, "import matplotlib.pyplot as plt\nplt.plot([NONCE, 1])\nplt.show()"),
    kind(
        "files",
        End::Ok,
        "import os\n\
         open('out.txt', 'w').write('nonce NONCE')\n\
         print(open('out.txt').read(), sorted(os.listdir()))\n\
         assert sorted(os.listdir()) == ['nonce.txt', 'out.txt']",
    ),
    kind("raises", End::Failed, "raise ValueError('nonce NONCE')"),
    kind(
        "children",
        End::Ok,
        "import subprocess\nsubprocess.run(['echo', 'nonce NONCE'], check=True)",
    ),
    kind(
        "threads",
        End::Ok,
        "from concurrent.futures import ThreadPoolExecutor\n\
         print(sum(ThreadPoolExecutor(4).map(abs, range(100))))",
    ),
    kind("algebra", End::Ok, "from sympy import *\nx = Symbol('x')\nprint(factor(x**4 - 1))"),
    kind("spins", End::Stopped, "while True: pass"),
    kind("forks", End::Stopped, "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"),
    kind("hoards memory", End::Failed, "hoard = []\nwhile True: hoard.append(bytes(256 << 20))"),
    kind(
        "fills the disk",
        End::Failed,
        "file = open('big', 'wb')\nwhile True: file.write(bytes(1 << 20))",
    ),
    kind("makes files", End::Failed, "for i in range(20_000): open(str(i), 'w').close()"),
    kind("floods", End::Stopped, "while True: print('x' * 100_000)"),
    kind(
        "leaves orphans",
        End::Ok,
        "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0: time.sleep(1000)\n  os._exit(0)",
    ),
    kind("segfaults", End::Failed, "import ctypes\nctypes.string_at(0)"),
    kind("kills itself", End::Failed, "import os\nos.kill(os.getpid(), 9)"),
    kind("kills all", End::Any, "import os\nos.kill(-1, 9)"),
    kind("closes all", End::Any, "import os\nos.closerange(0, 1024)"),
    kind("forges the status", End::Any, "import os\nfor _ in range(99): os.write(3, b'\\0\\1')"),
    kind("sends no pictures", End::Any, "import os\nos.write(4, b'\\xff' * 4096)"),
    kind(
        "keeps its memory",
        End::Ok,
        "import os, socket\n\
         kept = [os.open('/dev/null', 0) for _ in range(200)]\n\
         a, b = socket.socketpair()\nsocket.send_fds(a, [b'x'], kept[:100])",
    ),
    kind(
        "makes forbidden calls",
        End::Ok,
        "import ctypes\nlibc = ctypes.CDLL(None)\n\
         print([libc.syscall(n, 0, 0, 0, 0, 0, 0) for n in (101, 155, 161, 165, 272, 298, 308, 321, 425)])",
    ),
    kind("is left", End::Left, "import time\ntime.sleep(20)"),
];
