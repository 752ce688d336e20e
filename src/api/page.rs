//! The live page, as it is compiled in: a document, a style sheet and some modules of JavaScript, each served as it stands in
//! `src/api/page/`. What it shows comes from /events; its head (`index.html`) says what it is to be like.
//!
//! The policy lets the page load from this service alone, run no code that stands in a document, and be in no frame.

use crate::http::response::Response;

const POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
                      Referrer-Policy: no-referrer\r\n";

macro_rules! files {
    ($($path:literal, $name:literal, $content_type:literal;)*) => {
        /// A file of the page, by the path at which it is served.
        pub fn file(path: &str) -> Option<Response> {
            let (content_type, text) = match path {
                $($path => ($content_type, include_str!(concat!("page/", $name))),)*
                _ => return None,
            };
            Some(Response::text(200, content_type, text).with_fields(POLICY))
        }
    };
}

files! {
    "/", "index.html", "text/html; charset=utf-8";
    "/page/style.css", "style.css", "text/css; charset=utf-8";
    "/page/icon.svg", "icon.svg", "image/svg+xml";
    "/page/main.js", "main.js", "text/javascript; charset=utf-8";
    "/page/events.js", "events.js", "text/javascript; charset=utf-8";
    "/page/table.js", "table.js", "text/javascript; charset=utf-8";
    "/page/row.js", "row.js", "text/javascript; charset=utf-8";
    "/page/symbol.js", "symbol.js", "text/javascript; charset=utf-8";
    "/page/history.js", "history.js", "text/javascript; charset=utf-8";
    "/page/chart.js", "chart.js", "text/javascript; charset=utf-8";
    "/page/text.js", "text.js", "text/javascript; charset=utf-8";
}
