//! Who may see the console, and what its forms require. `tests/observe` looks at the pages.

use harness::{Client, TestServer};
use reqwest::header::HeaderMap;
use serde_json::json;

const MODEL: &str = "direct";

/// The status, headers and text of an answer; redirections are not followed.
async fn answer(
    server: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    form: &[(&str, &str)],
) -> (u16, HeaderMap, String) {
    let policy = reqwest::redirect::Policy::none();
    let client =
        reqwest::Client::builder().no_proxy().redirect(policy).build().expect("it is set up");
    let url = format!("{}{path}", server.url());
    let method = method.parse::<reqwest::Method>().expect("it is one");
    let mut request = client.request(method.clone(), url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if method == reqwest::Method::POST {
        let pairs: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let kind = "application/x-www-form-urlencoded";
        request = request.header("content-type", kind).body(pairs.join("&"));
    }
    let response = request.send().await.expect("the server answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.text().await.expect("it is text"))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn get(server: &Client, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    answer(server, "GET", path, headers, &[]).await
}

/// Logs in and returns the cookie.
async fn cookie(server: &Client, key: &str) -> String {
    let (status, headers, page) =
        answer(server, "POST", "/console/login", &[], &[("key", key)]).await;
    assert_eq!(status, 303, "{page}");
    let set = headers["set-cookie"].to_str().expect("it is text");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains(key), "{set}");
    set.split(';').next().expect("it has a value").to_owned()
}

fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"token\" value=\"").expect(page);
    rest.split('"').next().expect("it ends").to_owned()
}

#[tokio::test]
async fn browsers_are_led_to_the_console_unless_it_is_off() {
    let on = TestServer::start("").await;
    let (status, headers, _) = get(&on, "/", &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!((status, headers["location"].to_str().expect("it is text")), (303, "/console"));
    let (_, headers, _) = get(&on, "/n/suite/", &[("accept", "text/html")]).await;
    assert_eq!(headers["location"].to_str().expect("it is text"), "/n/suite/console");
    assert!(on.get("/").await.body["links"].is_object());
    let off = TestServer::builder().without_console().start().await;
    let (status, _, page) = get(&off, "/", &[("accept", "text/html")]).await;
    assert!(status == 200 && page.contains("/docs"), "{page}");
    for path in ["/console", "/console/requests", "/console/assets/style.css"] {
        assert_eq!(off.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn without_keys_only_loopback_names_lead_to_the_console() {
    let server = TestServer::builder().hosts(&["belljar.example"]).start().await;
    for (host, wanted) in [
        ("localhost", 200),
        ("127.0.0.1:1234", 200),
        ("[::1]", 200),
        ("belljar.example", 403),
        ("192.168.0.7", 403),
        ("evil.example", 403),
    ] {
        let (status, ..) = get(&server, "/console", &[("host", host)]).await;
        assert_eq!(status, wanted, "{host}");
    }
    let (status, _, page) = get(&server, "/console", &[("x-forwarded-for", "203.0.113.7")]).await;
    assert!(status == 403 && page.contains("BELLJAR_API_KEYS"), "{page}");
}

#[tokio::test]
async fn pages_permit_nothing_but_their_own_files() {
    let server = TestServer::start("").await;
    for path in ["/console", "/console/requests", "/console/sandbox", "/console/interactions/none"]
    {
        let (_, headers, page) = get(&server, path, &[]).await;
        let policy = headers["content-security-policy"].to_str().expect("it is text");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for inline in ["<style", " style=", "javascript:", "http://", "https://"] {
            assert!(!page.contains(inline), "{inline} in {path}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script src=").count());
    }
    let (_, headers, _) = get(&server, "/console", &[]).await;
    let tag = headers["etag"].to_str().expect("it is text");
    let (status, ..) = get(&server, "/console", &[("if-none-match", tag)]).await;
    assert_eq!(status, 304);
}

#[tokio::test]
async fn forms_need_the_token_of_their_page() {
    let server = TestServer::start("").await;
    let (_, _, page) = get(&server, "/console/sandbox", &[]).await;
    let token = token(&page);
    let run = async |headers: &[(&str, &str)], token: &str| {
        let form = [("token", token), ("code", "print(6 * 7)")];
        answer(&server, "POST", "/console/sandbox", headers, &form).await
    };
    let (status, _, page) = run(&[], &token).await;
    assert!(status == 200 && page.contains("<pre class=\"\"") && page.contains("42"), "{page}");
    assert_eq!(run(&[], "").await.0, 403);
    assert_eq!(run(&[], &token[1..]).await.0, 403);
    assert_eq!(run(&[("sec-fetch-site", "same-site")], &token).await.0, 403);
    assert_eq!(run(&[("origin", "https://evil.example")], &token).await.0, 403);
    let scenario = [("token", "wrong"), ("file", "scenarios: []")];
    let (status, ..) = answer(&server, "POST", "/console/scenarios", &[], &scenario).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn a_key_shows_only_its_own_interactions() {
    let server = TestServer::builder().keys(&["first", "second"]).start().await;
    let body = json!({"model": MODEL, "input": "print('a secret of the first')",
                      "tools": [{"type": "code_execution"}]});
    let request = server.request("POST", "/v1beta/interactions").json(&body);
    let made = harness::Reply::to(request.header("x-goog-api-key", "first")).await.body;
    let id = made["id"].as_str().expect("it is stored");
    let [first, second] = [cookie(&server, "first").await, cookie(&server, "second").await];
    let interaction = format!("/console/interactions/{id}");
    for path in ["/console", interaction.as_str()] {
        let (status, _, page) = get(&server, path, &[("cookie", &first)]).await;
        assert!(status == 200 && page.contains("a secret of the first"), "{path}: {page}");
        let (status, _, page) = get(&server, path, &[("cookie", &second)]).await;
        assert_eq!(status, if path == "/console" { 200 } else { 404 }, "{path}");
        assert!(!page.contains("a secret"), "{path}: {page}");
        for headers in
            [&[][..], &[("cookie", "belljar_console=forged")], &[("x-goog-api-key", "first")]]
        {
            let (status, headers, _) = get(&server, path, headers).await;
            assert_eq!((status, headers["location"].as_bytes()), (303, &b"/console/login"[..]));
        }
    }
    let (_, _, page) = get(&server, &interaction, &[("cookie", &first)]).await;
    let run = format!("{interaction}/runs/s0");
    let form = [("token", &*token(&page))];
    let (status, ..) = answer(&server, "POST", &run, &[("cookie", &second)], &form).await;
    assert_eq!(status, 403, "the token is of another session");
    let (status, ..) = answer(&server, "POST", "/console/logout", &[("cookie", &first)], &[]).await;
    assert_eq!(status, 303);
    assert_eq!(get(&server, &interaction, &[("cookie", &first)]).await.0, 303);
    let (status, ..) = answer(&server, "POST", "/console/login", &[], &[("key", "third")]).await;
    assert_eq!(status, 401);
}
