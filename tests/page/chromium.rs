//! A headless Chromium and its pages, over the pipe of its DevTools protocol: JSON messages that end with a zero byte. The
//! browser has them on its descriptors 3 and 4, which a shell makes of its standard input and output.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Killed, PATIENCE, eventually};

/// What `scripts/browser.sh` knows of.
pub fn tool(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/browser.sh");
    let found = Command::new(script).args([name, "--find"]).stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(
        found.status.success(),
        "{name} is missing: run scripts/browser.sh {name}, or scripts/test.sh in the place of cargo test"
    );
    PathBuf::from(String::from_utf8(found.stdout).expect("a path").trim())
}

pub struct Chromium {
    commands: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    last_id: RefCell<u64>,
    _process: Killed,
    _profile: TempDir,
}

impl Chromium {
    pub fn start() -> Chromium {
        let profile = tempfile::tempdir().expect("a folder for temporary files");
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(tool("chromium"))
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"])
            .args(["--js-flags=--expose-gc", "--enable-precise-memory-info"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let commands = RefCell::new(process.stdin.take().expect("it is piped"));
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, messages) = channel();
        // It ends with the browser, or with the test.
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while output.read_until(0, &mut bytes).is_ok_and(|len| len > 0) {
                let message = bytes.strip_suffix(&[0]).and_then(|bytes| serde_json::from_slice(bytes).ok());
                if message.is_none_or(|message| sender.send(message).is_err()) {
                    break;
                }
                bytes.clear();
            }
        });
        Chromium { commands, messages, last_id: RefCell::new(0), _process: Killed(process), _profile: profile }
    }

    /// The answer to a command; what comes before it goes to `beside`.
    #[track_caller]
    fn call(&self, session: Option<&str>, method: &str, params: Value, mut beside: impl FnMut(Value)) -> Value {
        let id = *self.last_id.borrow_mut() + 1;
        *self.last_id.borrow_mut() = id;
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        self.commands.borrow_mut().write_all(format!("{command}\0").as_bytes()).expect("Chromium runs");
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            beside(message);
        }
    }

    /// A page of its own, at `url`.
    #[track_caller]
    pub fn open(&self, url: &str) -> Page<'_> {
        let context = self.call(None, "Target.createBrowserContext", json!({}), drop)["browserContextId"].clone();
        let target = json!({ "url": "about:blank", "browserContextId": context, "width": 1600, "height": 1000 });
        let target = self.call(None, "Target.createTarget", target, drop)["targetId"].clone();
        let attach = json!({ "targetId": target, "flatten": true });
        let session =
            self.call(None, "Target.attachToTarget", attach, drop)["sessionId"].as_str().expect("an id").to_owned();
        let page = Page { chromium: self, session, context, said: RefCell::default() };
        for domain in ["Page", "Runtime", "Network", "Log", "Performance"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.size(1600, 1000);
        page.call("Page.navigate", json!({ "url": url }));
        page
    }
}

pub struct Page<'a> {
    chromium: &'a Chromium,
    session: String,
    context: Value,
    /// Events of the protocol.
    said: RefCell<Vec<Value>>,
}

impl Page<'_> {
    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.chromium.call(Some(&self.session), method, params, |event| {
            if event["sessionId"] == *self.session {
                self.said.borrow_mut().push(event);
            }
        })
    }

    /// The value of an expression, awaited where it is a promise.
    #[track_caller]
    pub fn js(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        eventually(expression, || match self.js(expression) {
            Value::Bool(true) => Ok(()),
            other => Err(format!("{other}; {:?}", self.problems())),
        });
    }

    pub fn size(&self, width: u32, height: u32) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    /// `light` or `dark`.
    pub fn theme(&self, theme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// A key of the keyboard, as `/` or `Escape`.
    pub fn press(&self, key: &str) {
        let text = if key.len() == 1 { key } else { "" };
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "text": text }));
        }
    }

    pub fn write(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// A figure of the browser's.
    pub fn metric(&self, name: &str) -> f64 {
        let metrics = self.call("Performance.getMetrics", json!({}))["metrics"].clone();
        let metrics = metrics.as_array().expect("a list");
        let found = metrics.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        found["value"].as_f64().expect("a number")
    }

    /// Bytes of JavaScript that are in use.
    pub fn heap_bytes(&self) -> f64 {
        self.call("HeapProfiler.collectGarbage", json!({}));
        self.metric("JSHeapUsedSize")
    }

    /// What went wrong: exceptions, and what the browser or the page says in the console.
    pub fn problems(&self) -> Vec<String> {
        let said = self.said.borrow();
        let is_problem = |event: &&Value| {
            ["Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"]
                .contains(&event["method"].as_str().unwrap_or(""))
        };
        said.iter().filter(is_problem).map(|event| event["params"].to_string()).collect()
    }

    /// What it has asked for, but from `origin`.
    pub fn requests_elsewhere(&self, origin: &str) -> Vec<String> {
        let said = self.said.borrow();
        let requests = said.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let urls = requests.filter_map(|event| event["params"]["request"]["url"].as_str());
        urls.filter(|url| !url.starts_with(origin)).map(str::to_owned).collect()
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        // Where a test has failed the browser may be what failed.
        if !std::thread::panicking() {
            let context = json!({ "browserContextId": self.context });
            self.chromium.call(None, "Target.disposeBrowserContext", context, drop);
        }
    }
}
