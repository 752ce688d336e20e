//! /openapi.json: `ops/schemas/openapi.json` with what it refers to in `ops/schemas/schemas.json` put inside, so that the one
//! document is whole. Both are compiled in.

use serde_json::Value;

const OPENAPI: &str = include_str!("../../ops/schemas/openapi.json");
const SCHEMAS: &str = include_str!("../../ops/schemas/schemas.json");

/// Made once, at the start.
pub fn openapi() -> String {
    let inside = |text: &str, reference: &str| -> Value {
        let text = text.replace(reference, "\"#/components/schemas/");
        serde_json::from_str(&text).expect("tests/contracts reads it")
    };
    let mut document = inside(OPENAPI, "\"schemas.json#/$defs/");
    document["components"]["schemas"] = inside(SCHEMAS, "\"#/$defs/")["$defs"].take();
    document.to_string()
}
