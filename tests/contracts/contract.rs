//! The documents of `ops/schemas`, and validation by them.

use std::collections::BTreeMap;
use std::path::Path;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use serde_json::Value;

const URL: &str = "http://contracts/document.json";

/// A document of `ops/schemas`.
pub fn document(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/schemas").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All schemas of one document, compiled.
pub struct Contract {
    schemas: Schemas,
    by_name: BTreeMap<String, SchemaIndex>,
}

impl Contract {
    /// Those of `schemas.json`.
    pub fn read() -> Contract {
        Contract::of(document("schemas.json"), "/$defs")
    }

    /// Those at `pointer` of a document that refers to nothing outside of itself: it could not be loaded.
    pub fn of(document: Value, pointer: &str) -> Contract {
        let named = document.pointer(pointer).and_then(Value::as_object).expect("schemas by name");
        let names: Vec<String> = named.keys().cloned().collect();
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler.add_resource(URL, document).expect("it is a URL");
        let mut schemas = Schemas::new();
        let compile = |name: String| {
            let schema = compiler.compile(&format!("{URL}#{pointer}/{name}"), &mut schemas);
            let schema = schema.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            (name, schema)
        };
        Contract { by_name: names.into_iter().map(compile).collect(), schemas }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// What the schema has against it.
    pub fn refusal(&self, name: &str, instance: &Value) -> Option<String> {
        let schema = self.by_name.get(name).unwrap_or_else(|| panic!("there is no schema {name}"));
        self.schemas.validate(instance, *schema).err().map(|error| error.to_string())
    }

    #[track_caller]
    pub fn check(&self, name: &str, instance: &Value) {
        if let Some(refusal) = self.refusal(name, instance) {
            panic!("{name}: {refusal}\n{instance}");
        }
    }
}

/// The schema's name that a `$ref` ends with.
pub fn name_of(reference: &Value) -> &str {
    let reference = reference["$ref"].as_str().unwrap_or_else(|| panic!("no reference: {reference}"));
    reference.rsplit('/').next().expect("it has a last part")
}

/// All that documents refer to.
pub fn references(value: &Value) -> Vec<&str> {
    let own = value.get("$ref").and_then(Value::as_str);
    let inner: Vec<&Value> = match value {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    own.into_iter().chain(inner.into_iter().flat_map(references)).collect()
}
