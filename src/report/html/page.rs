//! The page around the sections: head, contents, landmarks. One file, nothing loaded, no script.

use sha2::{Digest, Sha256};

use super::super::markup::{Ids, escaped, push};

const STYLE: &str = include_str!("style.css");

/// The sections of a page so far.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(super) ids: Ids,
    contents: String,
    body: String,
}

impl Page {
    /// Begins a part of the page, such as a model.
    pub(super) fn part(&mut self, title: &str) {
        let (id, title) = (self.ids.next(), escaped(title));
        push(&mut self.contents, format_args!("<li class=\"model\"><a href=\"#s{id}\">{title}</a></li>"));
        push(&mut self.body, format_args!("<h2 id=\"s{id}\">{title}</h2>\n"));
    }

    /// A section of the part. An empty one is left out, and so is its title.
    pub(super) fn section(&mut self, title: &str, content: impl FnOnce(&mut Ids) -> String) {
        let id = self.ids.next();
        let content = content(&mut self.ids);
        if content.is_empty() {
            return;
        }
        let title = escaped(title);
        push(&mut self.contents, format_args!("<li class=\"inner\"><a href=\"#s{id}\">{title}</a></li>"));
        push(&mut self.body, format_args!("<section><h3 id=\"s{id}\">{title}</h3>\n{content}</section>\n"));
    }

    /// Markup between the sections.
    pub(super) fn push(&mut self, markup: &str) {
        self.body.push_str(markup);
    }

    /// The document; `json` is where the same numbers are as JSON, in markup.
    pub(super) fn html(self, title: &str, json: &str) -> String {
        let (title, Self { contents, body, .. }) = (escaped(title), self);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width,initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" \
             content=\"{}\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<link rel=\"icon\" \
             href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the \
             report</a>\n<nav aria-label=\"Contents\"><ul>{contents}</ul></nav>\n<main id=\"main\" tabindex=\"-1\">\n<h1>\
             {title}</h1>\n{body}<footer>Made by mlapi {}. The same numbers as JSON: <code>{json}</code>.\
             </footer>\n</main>\n</body>\n</html>\n",
            policy(),
            env!("CARGO_PKG_VERSION"),
        )
    }
}

/// The content security policy of a page: its own style sheet, and nothing else.
pub(crate) fn policy() -> String {
    let hash = base64(&Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = 0_u32;
        (0..3).for_each(|i| bits = bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let encoded = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        assert_eq!(texts.map(|text| base64(text.as_bytes())), encoded);
    }

    #[test]
    fn a_page_loads_nothing_and_runs_nothing() {
        let mut page = Page::default();
        page.part("<m>");
        page.section("Curves & areas", |_| "<p>x</p>".into());
        page.section("Nothing", |_| String::new());
        let html = page.html("<t>", "mlapi eval --format json");
        for refused in
            ["<script", "http:", "https:", "url(", "@import", " style=", "onload", "<img", "<iframe"]
        {
            assert!(!html.contains(refused), "{refused}");
        }
        assert!(html.contains("default-src 'none'") && !html.contains("unsafe-inline"));
        assert!(!html.contains("Nothing<") && html.contains("<title>&lt;t&gt;</title>"));
        assert_eq!(html.matches("Curves &amp; areas").count(), 2, "in the contents and above the section");
    }
}
