//! A real inference server with a real, small model.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/local-model");

/// The chat template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// The model's own, which does not support tools.
    Own,
    /// One that describes tools, with calls as JSON.
    WithTools,
}

/// llama.cpp's server. Killed when dropped.
#[derive(Debug)]
pub struct Llama {
    process: Child,
    url: String,
}

impl Llama {
    pub fn start(template: Template) -> Llama {
        let here = Path::new(HERE);
        let installed = Command::new(here.join("install")).stderr(Stdio::inherit()).output();
        let installed = installed.expect("the script is there");
        assert!(installed.status.success(), "could not install llama.cpp; pip's output is above");
        let python = String::from_utf8(installed.stdout).expect("a path in our cache is text");
        let mut command = Command::new(python.trim_end());
        command.arg(here.join("serve.py"));
        if template == Template::WithTools {
            command.arg(here.join("tools.jinja"));
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter is a program");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is text");
        let url = line.trim_end().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "it listens with the words {line:?}");
        Llama { process, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Requests one token from llama.cpp directly, for which its only slot has to be free.
    pub async fn one_token(&self) -> Value {
        let request = json!({"max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]});
        let client = http_client::builder().no_proxy().build().expect("no TLS is set up");
        let reply = client.post(format!("{}/v1/chat/completions", self.url)).json(&request);
        reply.send().await.expect("it answers").json().await.expect("in JSON")
    }
}

impl Drop for Llama {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
