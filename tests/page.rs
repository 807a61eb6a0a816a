//! The pages for people: routes, headers, caching, and what clients of the API get at the same paths. tests/page.sh opens
//! the pages in a browser.

use std::sync::Arc;

use crate::support::http::{Reply, Server};
use crate::support::model;
use mlapi::server::{Limits, Setup, State};

const BROWSER: &str = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n";

fn server() -> Server {
    Server::start(model::iris(), Limits::default())
}

fn get(server: &Server, path: &str, headers: &str) -> Reply {
    server.send("GET", path, headers, "")
}

/// The addresses that a page loads or links.
fn addresses(html: &str) -> Vec<&str> {
    let after = |name| html.split(name).skip(1).map(|rest| rest.split('"').next().unwrap());
    after("src=\"").chain(after("href=\"")).filter(|address| !address.starts_with("data:")).collect()
}

#[test]
fn a_browser_gets_the_page_and_a_client_of_the_api_what_any_unknown_path_answers() {
    let server = server();
    for path in ["/", "/models/model/"] {
        let page = get(&server, path, BROWSER);
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        let policy = page.header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        let html = page.text();
        for refused in [" style=", "<style", "onclick", "http:", "https:", "{root}", "{lang}", "{script}"] {
            assert!(!html.contains(refused), "{path}: {refused}");
        }
        assert!(!html.contains("<script>"), "{html}");
        for headers in ["", "Accept: */*\r\n", "Accept: application/json\r\n", "Accept: text/html;q=0\r\n"] {
            get(&server, path, headers).problem(404);
        }
        server.send("POST", path, "", "{}").problem(404);
    }
    get(&server, "/models/none/", BROWSER).problem(404);
    assert_eq!(get(&server, "/docs", "").status, 200, "nothing else was ever there");
    server.send("POST", "/docs", "", "{}").problem(405);
    get(&server, "/page/none.js", "").problem(404);
    get(&server, "/page/page.html", "").problem(404);
}

#[test]
fn every_address_of_a_page_is_relative_to_the_root_and_leads_to_a_file() {
    let server = server();
    for (path, root) in [("/", ""), ("/models/model/", "../../"), ("/docs", "")] {
        let html = get(&server, path, BROWSER).text();
        assert!(html.contains(&format!("data-root=\"{root}\"")), "{path}");
        let found = addresses(&html);
        assert!(found.len() >= 3, "{html}");
        for address in found {
            let below = address.strip_prefix(root).unwrap();
            assert!(!below.starts_with(['/', '.']), "{address}");
            assert_eq!(server.get(&format!("/{below}")).status, 200, "{address}");
        }
    }
    let document = server.get("/openapi.json").json();
    assert_eq!(document["servers"][0]["url"], ".");
    assert!(document["paths"].get("/docs").is_none(), "a page for people is no part of the API");
}

#[test]
fn files_are_answered_compressed_or_plain_and_304_to_those_who_have_them() {
    let server = server();
    for (path, content_type) in [
        ("/page/page.css", "text/css; charset=utf-8"),
        ("/page/app.js", "text/javascript; charset=utf-8"),
        ("/page/words.js", "text/javascript; charset=utf-8"),
    ] {
        let plain = get(&server, path, "");
        assert_eq!((plain.status, plain.header("content-type")), (200, content_type));
        assert_eq!((plain.header("content-encoding"), plain.header("cache-control")), ("", "no-cache"));
        assert_eq!(
            (plain.header("vary"), plain.header("x-content-type-options")),
            ("accept-encoding", "nosniff")
        );
        let packed = get(&server, path, "Accept-Encoding: gzip, deflate, br\r\n");
        assert_eq!(packed.header("content-encoding"), "gzip");
        assert!(packed.body.len() < plain.body.len());
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&packed.body[..]);
        std::io::Read::read_to_end(&mut decoder, &mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body);
        assert_eq!(get(&server, path, "Accept-Encoding: gzip;q=0\r\n").body, plain.body);
        let tag = plain.header("etag");
        assert!(tag.starts_with('"') && tag != packed.header("etag"), "each form has its own: {tag}");
        let known = |tags: &str, status: u16| {
            let mut client = server.connect();
            client.write(format!("GET {path} HTTP/1.1\r\nHost: test\r\nIf-None-Match: {tags}\r\n\r\n"));
            let head = client.read_head();
            assert_eq!((head.status, head.header("etag")), (status, tag), "{tags}");
            assert_eq!(head.header("cache-control"), "no-cache");
        };
        known(tag, 304);
        known(&format!("\"other\", W/{tag}"), 304);
        known("*", 304);
        known("\"other\"", 200);
    }
    assert!(server.metric("mlapi_requests_total{route=\"/page\",status=\"304\"}") >= 9.0);
}

#[test]
fn head_has_the_length_of_get_and_no_body() {
    let server = server();
    for path in ["/", "/docs", "/page/app.js"] {
        let mut client = server.connect();
        client.write(format!("HEAD {path} HTTP/1.1\r\nHost: test\r\n{BROWSER}\r\n"));
        let head = client.read_head();
        let whole = get(&server, path, BROWSER);
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, whole.header("content-length")),
            "{path}"
        );
        // The next answer begins where a body would.
        client.write("GET /livez HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.read().text(), "ok\n");
    }
}

#[test]
fn the_language_is_the_one_that_the_client_likes_most() {
    let server = server();
    for (accepted, language) in [
        ("", "en"),
        ("Accept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n", "zh"),
        ("Accept-Language: en-GB,en;q=0.9,zh;q=0.8\r\n", "en"),
        ("Accept-Language: de,zh-Hant;q=0.5\r\n", "zh"),
        ("Accept-Language: de\r\n", "en"),
    ] {
        let page = get(&server, "/", &format!("{BROWSER}{accepted}"));
        assert!(page.text().contains(&format!("<html lang=\"{language}\"")), "{accepted}");
        assert_eq!(page.header("vary"), "accept, accept-language");
    }
}

#[test]
fn without_the_page_its_paths_are_unknown_and_the_api_is_the_same() {
    let setup = Setup::new(model::iris(), Limits::default()).unwrap().without_page();
    let server = Server::of(Arc::new(State::new(setup).unwrap()));
    for path in ["/", "/models/model/", "/docs", "/page/app.js", "/page/page.css"] {
        get(&server, path, BROWSER).problem(404);
    }
    assert_eq!(server.predict(r#"{"data":[5.1,3.5,1.4,0.2]}"#).status, 200);
    assert_eq!(server.get("/report").status, 200);
}
