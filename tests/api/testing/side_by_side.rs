//! A hundred test processes on one server, each in a namespace of its own.

use std::process::{Child, Command, Stdio};

use harness::TestServer;

const PROCESSES: usize = 100;

/// A user's test in a process of its own: it adds its scenarios, has a conversation with code and a
/// function, requests a fault, reads the journal, and cleans up. It prints all that it received,
/// without the fields that differ each time.
const TEST: &str = r#"
import json, sys, urllib.error, urllib.request
url = sys.argv[1]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
tools = [{"type": "code_execution"}, {"type": "function", "name": "look"}]
volatile = {"id", "call_id", "signature", "created", "updated", "at", "wall_ms", "interaction_id", "previous_interaction_id"}

def stable(value):
    if isinstance(value, dict):
        return {name: stable(value) for name, value in value.items() if name not in volatile}
    return [stable(item) for item in value] if isinstance(value, list) else value

def test(number):
    def call(method, path, body=None, **headers):
        headers |= {"x-belljar-namespace": f"test-{number}", "Content-Type": "application/json"}
        request = urllib.request.Request(url + path, body, headers, method=method)
        try:
            answer = [200, json.load(opener.open(request))]
        except urllib.error.HTTPError as error:
            answer = [error.code, json.load(error)]
        seen.append(stable(answer))
        return answer[1]

    def ask(input, last=None, **headers):
        request = {"model": "gemini", "tools": tools, "input": input, "previous_interaction_id": last}
        return call("POST", "/v1beta/interactions", json.dumps(request).encode(), **headers)

    seen = []
    call("POST", "/x/scenarios", f'''
scenarios:
  - name: mine {number}
    when: {{ input: {{ contains: double }} }}
    script:
      - code: print({number} * 2)
      - function_call: {{ name: look, arguments: {{ number: "{{{{ stdout | trim }}}}" }} }}
      - text: "{number} and {{{{ function_result.seen }}}}, in turn {{{{ turn }}}}."
'''.encode())
    fault = {"x-belljar-fault": json.dumps({"status": 503, "times": 1, "message": f"fault {number}"})}
    ask("double it", **fault)
    first = ask("double it", **fault)
    result = {"type": "function_result", "call_id": first["steps"][-1]["id"], "result": {"seen": number + 1}}
    second = ask([result], first["id"])
    ask("no such scenario", second["id"])
    call("GET", "/x/journal")
    call("POST", "/x/reset")
    call("GET", "/x/journal")
    print(json.dumps(seen, sort_keys=True))

for number in map(int, sys.argv[2:]):
    test(number)
"#;

/// A process that runs these tests, one after the other.
fn tests(server: &TestServer, numbers: std::ops::Range<usize>) -> Child {
    Command::new("python3")
        .args(["-I", "-S", "-c", TEST, server.url()])
        .args(numbers.map(|number| number.to_string()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is a program")
}

fn transcript(child: Child) -> String {
    let output = child.wait_with_output().expect("it is our child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_concurrent_tests_get_the_results_of_single_ones() {
    let server = TestServer::start("").await;
    let alone = transcript(tests(&server, 0..PROCESSES));
    let alone: Vec<&str> = alone.lines().collect();
    assert_eq!(alone.len(), PROCESSES);
    for (number, transcript) in alone.iter().enumerate() {
        let double = format!("\"result\": \"{}\\n\"", number * 2);
        let last = format!("{number} and {}, in turn 1.", number + 1);
        for wanted in [double, last, format!("fault {number}"), format!("mine {number}")] {
            assert!(transcript.contains(&wanted), "no {wanted} in {transcript}");
        }
    }
    let together: Vec<Child> =
        (0..PROCESSES).map(|number| tests(&server, number..number + 1)).collect();
    for (child, alone) in together.into_iter().zip(alone) {
        assert_eq!(transcript(child).trim_end(), alone);
    }
}
