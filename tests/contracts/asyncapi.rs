//! `asyncapi.json` as a document: what AsyncAPI 3.0.0 says of its objects, and that they belong together. That each `$ref` leads
//! somewhere is tried in `shapes`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::contract::{Contract, document, name_of};

/// The objects of AsyncAPI 3.0.0 that the document has, closed, with those of their fields that it may have. A field that is new to the
/// document is added here as <https://www.asyncapi.com/docs/reference/specification/v3.0.0> has it.
fn standard() -> Contract {
    let text = json!({"type": "string", "minLength": 1});
    let reference = closed(&["$ref"], json!({"$ref": &text}));
    let named = |of: &str| {
        let items = json!({"$ref": format!("#/$defs/{of}")});
        json!({"type": "object", "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"}, "minProperties": 1, "additionalProperties": items})
    };
    let objects = json!({
        "Document": closed(&["asyncapi", "info", "channels", "operations"], json!({
            "asyncapi": {"const": "3.0.0"},
            "info": {"$ref": "#/$defs/Info"},
            "defaultContentType": &text,
            "servers": named("Server"),
            "channels": named("Channel"),
            "operations": named("Operation"),
            "components": closed(&[], json!({"messages": named("Message")})),
        })),
        "Info": closed(&["title", "version"], json!({"title": &text, "version": &text, "description": &text})),
        "Server": closed(&["host", "protocol"], json!({"host": &text, "protocol": &text, "description": &text})),
        // The standard asks for neither address nor messages; without them a channel would say nothing.
        "Channel": closed(&["address", "messages"], json!({
            "address": &text,
            "title": &text,
            "parameters": named("Parameter"),
            "messages": named("Reference"),
        })),
        "Parameter": closed(&[], json!({"description": &text})),
        "Operation": closed(&["action", "channel"], json!({
            "action": {"enum": ["send", "receive"]},
            "channel": {"$ref": "#/$defs/Reference"},
            "summary": &text,
        })),
        "Message": closed(&["payload"], json!({
            "name": &text,
            "title": &text,
            "contentType": {"const": "application/json"},
            "payload": {"$ref": "#/$defs/Reference"},
        })),
        "Reference": reference,
    });
    Contract::of(json!({"$defs": objects}), "/$defs")
}

/// An object with these fields and no others.
fn closed(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

#[test]
fn it_is_as_the_standard_has_it() {
    standard().check("Document", &document("asyncapi.json"));
}

/// The fields of an object of the document, by name.
fn fields<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    of[name].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// The names between braces.
fn parameters_of(address: &str) -> BTreeSet<&str> {
    address.split('{').skip(1).map(|rest| rest.split_once('}').expect("a closing brace").0).collect()
}

#[test]
fn its_parts_belong_together() {
    let asyncapi = document("asyncapi.json");
    let channels: BTreeSet<&str> = fields(&asyncapi, "channels").map(|(name, _)| name).collect();
    let mut addresses = BTreeSet::new();
    let mut carried = BTreeSet::new();
    for (name, channel) in fields(&asyncapi, "channels") {
        let address = channel["address"].as_str().unwrap_or_else(|| panic!("{name}: no address"));
        assert!(addresses.insert(address), "{address} is that of two channels");
        let described: BTreeSet<&str> = fields(channel, "parameters").map(|(name, _)| name).collect();
        assert_eq!(parameters_of(address), described, "{name}");
        for (_, message) in fields(channel, "messages") {
            assert_eq!(message["$ref"], format!("#/components/messages/{}", name_of(message)), "{name}");
            carried.insert(name_of(message));
        }
    }
    let mut operated = BTreeSet::new();
    for (name, operation) in fields(&asyncapi, "operations") {
        let channel = name_of(&operation["channel"]);
        assert_eq!(operation["channel"]["$ref"], format!("#/channels/{channel}"), "{name}");
        assert!(channels.contains(channel), "{name}: there is no channel {channel}");
        let expected = channel_action(asyncapi["channels"][channel]["address"].as_str().expect("an address"));
        assert_eq!(operation["action"], expected, "{name}");
        operated.insert(channel);
    }
    assert_eq!(operated, channels, "each has an operation");
    let messages: BTreeSet<&str> = fields(&asyncapi["components"], "messages").map(|(name, _)| name).collect();
    assert_eq!(carried, messages, "each is carried by a channel");
    for (name, message) in fields(&asyncapi["components"], "messages") {
        let payload = message["payload"]["$ref"].as_str().unwrap_or_else(|| panic!("{name}: no payload"));
        assert!(payload.starts_with("schemas.json#/$defs/"), "{name}: {payload}");
    }
}

/// What the service does there: it takes events, and sends all else.
fn channel_action(address: &str) -> &'static str {
    if address.starts_with("md.events.") { "receive" } else { "send" }
}
