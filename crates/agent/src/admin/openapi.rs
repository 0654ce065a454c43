//! The OpenAPI 3.1 document of the admin server, made from the tables of `docs/api.md`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::lookup::BATCH;
use crate::json::document::{COUNTERS, EVENT, FAULT, Field, INTERFACE, LINE, LOOKUP, NODE};

/// The document.
pub(super) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "netns-agent",
            "summary": "Network interfaces of every network namespace of a node",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths(),
        "components": {"schemas": schemas()},
    })
}

fn paths() -> Value {
    let selectors = || {
        vec![
            parameter("namespace", "Kubernetes namespace", json!({"type": "string"})),
            parameter("pod", "name of a pod", json!({"type": "string"})),
            parameter("netns", "network namespace: name, host, nsid:7, inode or cookie", json!({"type": "string"})),
        ]
    };
    let mut watch = selectors();
    watch.push(parameter("resume", "seq of the last line that was read", json!({"type": "integer", "minimum": 0})));
    let lines = json!({
        "200": {"description": "lines that never end", "content": {
            "application/x-ndjson": {"schema": reference("Line")},
            "text/event-stream": {"schema": {"type": "string"}},
        }},
        "400": refused("a parameter is unknown or not valid"),
        "410": refused("the changes after `resume` are not known any more"),
        "503": refused("too many programs read already"),
    });
    let array = |items: Value| json!({"type": "array", "items": items});
    let found = json!({
        "200": answer("the interface", reference("Lookup")),
        "400": refused("a parameter is unknown, missing or not valid"),
        "404": refused("no interface matches"),
    });
    let all = json!({
        "200": answer("in the order of the lookups, null where no interface matches",
            array(json!({"oneOf": [reference("Lookup"), {"type": "null"}]}))),
        "400": refused("the body is not JSON, or a value is not valid"),
        "413": refused("the body or the batch is too long"),
        "415": refused("the content type is not application/json"),
        "422": refused("the body is not an array of lookups"),
    });
    let mut batch = array(reference("Query"));
    batch["maxItems"] = BATCH.into();
    let interfaces = json!({
        "200": answer("sorted by namespace and ifindex", array(reference("Interface"))),
        "400": refused("a parameter is unknown"),
    });
    let counters = json!({
        "200": answer("counters of these interfaces", reference("Counters")),
        "400": refused("a parameter is unknown"),
        "503": refused("the agent ends"),
    });
    let node = json!({"200": answer("the node", reference("Node"))});
    json!({
        "/v1/counters": {"get": operation("counters of interfaces that match all parameters", selectors(), counters)},
        "/v1/node": {"get": operation("the name of the node", Vec::new(), node)},
        "/v1/interfaces": {"get": operation("interfaces that match all parameters", selectors(), interfaces)},
        "/v1/watch": {"get": operation("everything that exists, then changes", watch, lines)},
        "/v1/lookup": {
            "get": operation("looks up an interface", queries(), found),
            "post": {
                "summary": "looks up many interfaces",
                "requestBody": {"required": true, "content": {"application/json": {"schema": batch}}},
                "responses": all,
            },
        },
        "/metrics": text("metrics for Prometheus", &["200", "503"]),
        "/livez": text("whether the process works", &["200"]),
        "/healthz": text("whether the process works", &["200"]),
        "/readyz": text("whether all interfaces are known", &["200", "503"]),
        "/openapi.json": {"get": operation("this document", Vec::new(), json!({
            "200": answer("OpenAPI 3.1", json!({"type": "object"})),
        }))},
        "/": text("a page for browsers: a map of the node", &["200"]),
    })
}

fn operation(summary: &str, parameters: Vec<Value>, responses: Value) -> Value {
    json!({"summary": summary, "parameters": parameters, "responses": responses})
}

fn parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}

fn queries() -> Vec<Value> {
    let index = json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
    let mut ifindex = parameter("ifindex", "ifindex", index);
    ifindex["required"] = true.into();
    vec![
        ifindex,
        parameter("mac", "MAC address", json!({"type": "string"})),
        parameter("netns", "network namespace: name, host, nsid:7, inode or cookie", json!({"type": "string"})),
    ]
}

fn text(summary: &str, statuses: &[&str]) -> Value {
    let response = |status: &&str| ((*status).to_owned(), json!({"description": "text"}));
    let responses: Map<_, _> = statuses.iter().map(response).collect();
    json!({"get": {"summary": summary, "responses": responses}})
}

fn answer(description: &str, schema: Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

fn refused(description: &str) -> Value {
    answer(description, reference("Error"))
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn schemas() -> Value {
    let query = json!({
        "type": "object",
        "required": ["ifindex"],
        "additionalProperties": false,
        "properties": {
            "ifindex": {"type": "integer", "minimum": 0, "maximum": u32::MAX},
            "mac": {"type": ["string", "null"]},
            "netns": {"type": ["string", "null"]},
        },
    });
    json!({
        "Interface": object(INTERFACE, "", |_| true),
        // An event without an interface has its kind alone.
        "Event": object(EVENT, "", |path| path == "event"),
        "Line": object(LINE, "", |path| matches!(path, "seq" | "event")),
        "Lookup": object(LOOKUP, "", |_| true),
        "Counters": object(COUNTERS, "", |_| true),
        "Node": object(NODE, "", |_| true),
        "Error": object(FAULT, "", |_| true),
        "Query": query,
    })
}

/// The schema of an object from its rows; a path without a dot after `prefix` is one of its fields.
fn object(fields: &[Field], prefix: &str, is_required: fn(&str) -> bool) -> Value {
    let own = fields.iter().filter_map(|field| Some((field.path.strip_prefix(prefix)?, field)));
    let own: BTreeMap<_, _> = own.filter(|(name, _)| !name.contains('.')).collect();
    let required: Vec<_> = own.keys().copied().filter(|name| is_required(name)).collect();
    let schema = |field: &Field| {
        let mut schema = match field.kind {
            _ if field.path == "interface" => reference("Interface"),
            "object" | "object or null" => object(fields, &format!("{}.", field.path), is_required),
            "array of objects" => json!({"items": object(fields, &format!("{}.", field.path), is_required)}),
            "array of strings" => json!({"items": {"type": "string"}}),
            _ => json!({}),
        };
        if field.path != "interface" {
            schema["type"] = types(field.kind);
        }
        schema["description"] = field.meaning.into();
        schema
    };
    let properties: Map<_, _> = own.iter().map(|(name, field)| ((*name).to_owned(), schema(field))).collect();
    json!({"type": "object", "required": required, "properties": properties})
}

fn types(kind: &str) -> Value {
    let base = kind.trim_end_matches(" or null");
    let base = match base {
        "array of strings" | "array of objects" => "array",
        "number" => "integer",
        other => other,
    };
    if kind.ends_with(" or null") { json!([base, "null"]) } else { base.into() }
}
