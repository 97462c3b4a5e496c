//! What others rely on: answers that may be kept, events as they were written once.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use proto::TOPOLOGY;

use super::read;

fn pool() -> DescriptorPool {
    DescriptorPool::decode(proto::DESCRIPTORS).unwrap()
}

/// A request with a request id: its answer is kept for a week, so it holds ids, versions, states and times only, and no personal data.
#[test]
fn answers_that_are_remembered_hold_ids_versions_states_and_times_only() {
    let (mut commands, mut wrong) = (0, Vec::new());
    for service in pool().services().filter(|service| service.full_name().starts_with("haiqu.")) {
        for method in service.methods() {
            if method.input().get_field_by_name("request_id").is_some() {
                commands += 1;
                free(&method.output(), method.full_name(), &mut wrong);
            }
        }
    }
    assert!(commands > 15, "only {commands} commands were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn free(message: &MessageDescriptor, path: &str, wrong: &mut Vec<String>) {
    for field in message.fields() {
        let path = format!("{path}.{}", field.name());
        match field.kind() {
            Kind::Message(part) if part.full_name() == "google.protobuf.Timestamp" => {}
            Kind::Message(part) => free(&part, &path, wrong),
            Kind::Enum(_) | Kind::Int64 | Kind::Int32 | Kind::Bool => {}
            Kind::String if field.name().ends_with("_id") || field.name() == "etag" => {}
            _ => wrong.push(path),
        }
    }
}

/// The type of an event, by its subject.
fn event(subject: &str) -> MessageDescriptor {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    let parts: Vec<_> = subject.split('.').collect();
    let name: String = parts[2].split('_').chain([parts[3]]).map(word).collect();
    pool().get_message_by_name(&format!("haiqu.events.v1.{name}")).unwrap_or_else(|| panic!("no message {name}"))
}

/// Every field set to something that is not its default.
fn filled(message: &MessageDescriptor) -> DynamicMessage {
    let mut made = DynamicMessage::new(message.clone());
    let mut oneofs = BTreeSet::new();
    for field in message.fields() {
        // Of several that exclude each other the first.
        if field.containing_oneof().is_some_and(|oneof| !oneofs.insert(oneof.full_name().to_owned())) {
            continue;
        }
        let value = match field.is_list() {
            true => Value::List(vec![sample(&field)]),
            false => sample(&field),
        };
        made.set_field(&field, value);
    }
    made
}

fn sample(field: &FieldDescriptor) -> Value {
    let number = field.number();
    match field.kind() {
        Kind::Message(part) => Value::Message(filled(&part)),
        Kind::Enum(_) => Value::EnumNumber(1),
        Kind::Int32 => Value::I32(i32::try_from(number).unwrap()),
        Kind::Int64 => Value::I64(number.into()),
        Kind::Bool => Value::Bool(true),
        Kind::String => Value::String(format!("{}-{number}", field.name())),
        other => panic!("{}: no event has had a {other:?} yet", field.full_name()),
    }
}

/// Events as they were written once: a store of them is 30 days long, and a subscriber of the last release reads them.
#[test]
fn events_that_were_written_once_are_read_to_the_last_field() {
    let mut frozen: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (subject, hex) in read("proto/frozen.txt").lines().map(|line| line.split_once(' ').unwrap()) {
        frozen.entry(subject.to_owned()).or_default().push(bytes(hex));
    }
    let mut missing = String::new();
    for topic in TOPOLOGY {
        let (descriptor, written) = (event(topic.subject), frozen.remove(topic.subject).unwrap_or_default());
        for bytes in &written {
            let read = DynamicMessage::decode(descriptor.clone(), &bytes[..]).unwrap();
            assert_eq!(read.unknown_fields().count(), 0, "{}: a field is gone", topic.subject);
            known(&read, topic.subject);
            assert_eq!(read.encode_to_vec(), *bytes, "{}: it reads otherwise", topic.subject);
        }
        let now = filled(&descriptor).encode_to_vec();
        if !written.contains(&now) {
            let hex: String = now.iter().map(|byte| format!("{byte:02x}")).collect();
            missing.push_str(&format!("{} {hex}\n", topic.subject));
        }
    }
    assert!(
        missing.is_empty(),
        "new events, and new fields, are frozen by these further lines of proto/frozen.txt:\n{missing}"
    );
}

/// No field of a part is unknown either.
fn known(message: &DynamicMessage, subject: &str) {
    assert_eq!(message.unknown_fields().count(), 0, "{subject}: a field of a part is gone");
    for (_, value) in message.fields() {
        each(value, &mut |part| known(part, subject));
    }
}

fn each(value: &Value, visit: &mut impl FnMut(&DynamicMessage)) {
    match value {
        Value::Message(part) => visit(part),
        Value::List(list) => list.iter().for_each(|one| each(one, visit)),
        Value::Map(map) => map.iter().for_each(|(_, one): (&MapKey, &Value)| each(one, visit)),
        _ => {}
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn every_event_tells_its_version_and_who_did_it() {
    for topic in TOPOLOGY {
        let descriptor = event(topic.subject);
        for (name, number) in [("version", 14), ("actor", 15)] {
            let field = descriptor.get_field_by_name(name);
            assert_eq!(field.map(|field| field.number()), Some(number), "{}: {name}", topic.subject);
        }
    }
}
