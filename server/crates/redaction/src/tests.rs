use serde_json::json;

use super::*;

fn secrets(keys: &[&str]) -> Secrets {
    Secrets::new(keys.iter().map(|key| SecretString::from((*key).to_owned())))
}

#[test]
fn keys_are_taken_out_and_everything_else_stays() {
    let secrets = secrets(&["correct-horse-battery", "b"]);
    let google = format!("AIza{}", "x".repeat(35));
    for (text, wanted) in [
        ("say correct-horse-battery twice", "say [redacted] twice"),
        ("a b, but above", "a [redacted], but above"),
        (&format!("key={google}!"), "key=[redacted]!"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("'x-goog-api-key': 'k1', 'z': 1", "'x-goog-api-key': '[redacted]', 'z': 1"),
        ("http://h/v1?key=k1&x=2", "http://h/v1?key=[redacted]&x=2"),
        ("sk-proj-0123456789abcdef0", "[redacted]"),
        ("bearer 0123456789abcdef", "bearer [redacted]"),
    ] {
        assert_eq!(secrets.redact(text), wanted);
        assert_eq!(secrets.redact(wanted), wanted, "once is enough");
    }
    assert!(matches!(secrets.redact("nothing"), Cow::Borrowed(_)));
    let json = json!({"headers": {"Authorization": "zzz", "n": [1, "correct-horse-battery"]}});
    let wanted = json!({"headers": {"Authorization": "[redacted]", "n": [1, "[redacted]"]}});
    assert_eq!(secrets.redact_json(&json), wanted);
}

/// Assembled here, so that secret scanners do not report this file.
fn of_every_kind() -> Vec<(&'static str, String)> {
    let body = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ0";
    let hex = "0123456789abcdef0123456789abcdef01234567";
    let jwt = format!("eyJ{body}.eyJ{body}.{body}_-{body}");
    vec![
        ("Google's API key", format!("AIzaSy{body}123456")),
        ("Google's newer API key", format!("AQ.Ab8{body}{body}")),
        ("Google's access token", format!("ya29.a0{body}")),
        ("Google's client secret", format!("GOCSPX-{body}")),
        ("GitHub", format!("ghp_{body}12345678")),
        ("GitHub OAuth", format!("gho_{body}12345678")),
        ("GitHub app", format!("ghs_{body}12345678")),
        ("GitHub fine-grained", format!("github_pat_11{body}_{body}")),
        ("GitLab", format!("glpat-{body}")),
        ("Hugging Face", format!("hf_{body}")),
        ("OpenAI", format!("sk-proj-{body}")),
        ("OpenAI without digits", "sk-ExampleExampleExampleExample".to_owned()),
        ("Anthropic", format!("sk-ant-api03-{body}")),
        ("AWS id", format!("AKIA{}", "IOSFODNN7EXAMPLE")),
        ("AWS temporary id", format!("ASIA{}", "IOSFODNN7EXAMPLE")),
        ("Slack", format!("xoxb-123456789012-{body}")),
        ("Slack webhook's path", format!("T00000000/B00000000/{body}")),
        ("Stripe", format!("sk_live_{body}")),
        ("Stripe restricted", format!("rk_test_{body}")),
        ("JWT", jwt),
        ("SendGrid", format!("SG.{body}.{body}{body}")),
        ("PEM's body", format!("MIIEvQIBADANBgkqhkiG{hex}\nAbCd{hex}==")),
    ]
}

#[test]
fn secrets_of_every_kind_are_taken_out_of_every_kind_of_text() {
    let secrets = Secrets::default();
    for (kind, secret) in of_every_kind() {
        let text = match kind {
            "Slack webhook's path" => {
                format!("post to https://hooks.slack.com/services/{secret} .")
            }
            "PEM's body" => {
                format!(
                    "k = '''-----BEGIN RSA PRIVATE KEY-----\n{secret}\n-----END RSA PRIVATE KEY-----'''"
                )
            }
            _ => format!("Use {secret}, please."),
        };
        let redacted = secrets.redact(&text).into_owned();
        assert!(!redacted.contains(&secret) && redacted.contains(REDACTED), "{kind}: {redacted}");
        assert_eq!(secrets.redact(&redacted), redacted, "{kind}: once is enough");
        let json = secrets.redact_json(&json!({"a": [{"b": text}], (text.clone()): 1})).to_string();
        let escaped = json!(secret).to_string();
        assert!(!json.contains(escaped.trim_matches('"')), "{kind}: {json}");
        let file = secrets.redact_file(json!({"text": text}).to_string().as_bytes());
        let file = String::from_utf8(file.expect("it is redacted")).expect("it is text");
        assert!(!file.contains(escaped.trim_matches('"')), "{kind}: {file}");
    }
}

#[test]
fn secrets_are_recognized_by_their_context() {
    let secrets = Secrets::default();
    let long = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    for (text, secret) in [
        ("postgres://app:hunter2@db:5432/x", "hunter2"),
        ("amqp://u:p@ss@host/v", "p@ss"),
        ("https://0123456789abcdef0@github.com/x", "0123456789abcdef0"),
        ("curl 'https://h/v?x=1&access_token=abc' -v", "abc"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("it sends Basic dXNlcjpwYXNz there", "dXNlcjpwYXNz"),
        ("headers={'Authorization': f'Bearer tok3n'}", "tok3n"),
        ("req.set(\"X-Goog-Api-Key\", \"plainword\")", "plainword"),
        ("{\\\"x-api-key\\\": \\\"abc\\\"}", "abc"),
        ("Cookie: session=0123456789abcdef", "0123456789abcdef"),
        ("api_key = 'a1b2c3d4e5'", "a1b2c3d4e5"),
        ("export OPENAI_API_KEY=a1b2c3d4e5f6g7h8i9j0k1", "a1b2c3d4e5f6g7h8i9j0k1"),
        ("\"client_secret\": \"d-FL95Q19q7MQmFpd7hHD0Ty\"", "FL95Q19q7MQmFpd7"),
        ("\"private_key_id\": \"0a1b2c3d4e5f60718293a4b5\"", "0a1b2c3d4e5f6071"),
        ("Server=db;Password=hunter22;Database=x", "hunter22"),
        ("db_password: 'hunter2'", "hunter2"),
        (&format!("aws_secret_access_key = {long}"), long),
        (&format!("AKIA{} / {long}", "IOSFODNN7EXAMPLE"), long),
        (
            "\"private_key\": \"-----BEGIN PRIVATE KEY-----\\nMIIE\\nvQ==\\n-----END PRIVATE KEY-----\\n\"",
            "MIIE",
        ),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", "b3BlbnNz"),
    ] {
        let redacted = secrets.redact(text).into_owned();
        assert!(!redacted.contains(secret) && redacted.contains(REDACTED), "{text}: {redacted}");
        assert_eq!(secrets.redact(&redacted), redacted, "once is enough");
    }
    let account = json!({"type": "service_account", "private_key_id": "0a1b2c3d4e5f6071",
        "private_key": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
        "client_email": "a@b.iam.gserviceaccount.com", "token": "a1b2c3d4e5f6"});
    let redacted = secrets.redact_json(&account);
    assert_eq!(redacted["client_email"], account["client_email"]);
    for secret in ["0a1b2c3d4e5f6071", "MIIE", "a1b2c3d4e5f6"] {
        assert!(!redacted.to_string().contains(secret), "{redacted}");
    }
}

#[test]
fn code_and_ordinary_text_stay_as_they_are() {
    let secrets = Secrets::default();
    for text in [
        "the authorization was given",
        "Authorization: required for all of it",
        "a bearer bond, and bearer instruments",
        "print(f'{key=}')",
        "requests.get(f'{url}?key={key}', headers={'Authorization': f'Bearer {token}'})",
        "headers = {'Authorization': token, 'x-api-key': api_key}",
        "client = Client(api_key=os.environ['API_KEY'], token=get_token2(x), secret=settings.secret1)",
        "password = getpass(); connect(password=password1, user=user)",
        "for token in tokens: counts[token] = counts.get(token, 0) + 1",
        "\"next_page_token\": \"CAUQAA0123456789\", \"max_tokens\": 4096",
        "secret: 'love'",
        "basic mathematics2 and Basic English",
        "sk-estimators-and-other-words",
        "git checkout 0123456789abcdef0123456789abcdef01234567",
        "sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "https://example.org/@user/a:b and http://localhost:8080/x",
        "df['key'] = df.apply(lambda row: row['API_KEY'], axis=1)",
        "export GEMINI_API_KEY=$OTHER_KEY_1234567890abc",
        "x-api-key: <your key 1>",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "/home/User1/projects/some/dir/with/40/x1",
        "primes=[2, 3, 5]\nsum_of_primes=5117",
    ] {
        assert_eq!(secrets.redact(text), text);
    }
}

#[test]
fn a_secret_that_was_found_by_name_is_also_found_alone() {
    let learned = Secrets::default().learned_from(["api_key = 'a1b2c3d4e5f6g7'", "x"]);
    assert_eq!(learned.redact("it printed a1b2c3d4e5f6g7"), "it printed [redacted]");
}

#[test]
fn a_clients_own_key_is_taken_out_unless_it_is_a_word() {
    let keys = ["anything", "belljar", "test", "own/key+0123456789"];
    let keys: Vec<SecretString> = keys.iter().map(|key| (*key).to_owned().into()).collect();
    let secrets = Secrets::default().with_keys_of_client(&keys);
    assert_eq!(secrets.redact("is anything in a belljar? test"), "is anything in a belljar? test");
    assert_eq!(secrets.redact("x own/key+0123456789 y"), "x [redacted] y");
    assert_eq!(secrets.redact("?k=own%2Fkey%2B0123456789"), "?k=[redacted]");
}
