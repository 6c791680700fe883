//! Object definition files: the XML of the OMA registry (schema `LWM2M-v1_1.xsd`).
//!
//! The text is read without document types, entities or any access to files and the network, and its size is bounded.
//! The order of elements is not enforced, because files of the registry do not keep it either; unknown elements are
//! ignored.

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

use super::{ObjectModel, Operations, ResourceModel};
use crate::lwm2m::{
    path::{ObjectId, ObjectVersion},
    value::ResourceType,
};

/// Reads all objects of a file.
///
/// # Errors
/// The first rule that is broken, and where.
pub fn parse(xml: &[u8]) -> Result<Vec<ObjectModel>, DdfError> {
    if xml.len() > MAX_LENGTH {
        return Err(DdfError::at_start(DdfRule::TooLarge));
    }
    let text = std::str::from_utf8(xml).map_err(|_| DdfError::at_start(DdfRule::Encoding))?;
    if text.matches('=').count() > MAX_ATTRIBUTES || text.matches("xmlns").count() > MAX_NAMESPACES
    {
        return Err(DdfError::at_start(DdfRule::TooLarge));
    }
    let options = ParsingOptions {
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    let document =
        Document::parse_with_options(text, options).map_err(|error| malformed(&error, text))?;
    let root = document.root_element();
    if root.tag_name().name() != "LWM2M" {
        return Err(DdfError::at(root, DdfRule::Root));
    }
    let mut objects = Vec::<ObjectModel>::new();
    for node in elements(root, "Object") {
        let object = object(node)?;
        let is_same =
            |other: &ObjectModel| (other.id, other.version) == (object.id, object.version);
        if objects.iter().any(is_same) {
            return Err(DdfError::at(node, DdfRule::DuplicateObject));
        }
        objects.push(object);
    }
    if objects.is_empty() {
        return Err(DdfError::at(root, DdfRule::Missing("Object")));
    }
    Ok(objects)
}

fn object(node: Node<'_, '_>) -> Result<ObjectModel, DdfError> {
    if node.attribute("ObjectType") != Some("MODefinition") {
        return Err(DdfError::at(node, DdfRule::ObjectType));
    }
    let id = child(node, "ObjectID")?;
    let mut resources = BTreeMap::new();
    for item in elements(child(node, "Resources")?, "Item") {
        let resource = resource(item)?;
        if resources.len() >= MAX_RESOURCES {
            return Err(DdfError::at(item, DdfRule::TooManyResources));
        }
        if resources.insert(resource.id, resource).is_some() {
            return Err(DdfError::at(item, DdfRule::DuplicateResource));
        }
    }
    Ok(ObjectModel {
        id: number(&content(id)).ok_or_else(|| DdfError::at(id, DdfRule::Number("ObjectID")))?,
        version: version(node)?,
        name: content(child(node, "Name")?),
        multiple: choice(node, "MultipleInstances", "Multiple", "Single")?,
        mandatory: choice(node, "Mandatory", "Mandatory", "Optional")?,
        resources,
    })
}

fn resource(item: Node<'_, '_>) -> Result<ResourceModel, DdfError> {
    let optional = |name| elements(item, name).next().map(content).unwrap_or_default();
    Ok(ResourceModel {
        id: item
            .attribute("ID")
            .and_then(number)
            .ok_or_else(|| DdfError::at(item, DdfRule::Number("ID")))?,
        name: content(child(item, "Name")?),
        operations: operations(child(item, "Operations")?)?,
        multiple: choice(item, "MultipleInstances", "Multiple", "Single")?,
        mandatory: choice(item, "Mandatory", "Mandatory", "Optional")?,
        kind: kind(child(item, "Type")?)?,
        range: optional("RangeEnumeration"),
        units: optional("Units"),
    })
}

/// The version of an object, 1.0 if it states none.
fn version(object: Node<'_, '_>) -> Result<ObjectVersion, DdfError> {
    let Some(node) = elements(object, "ObjectVersion").next() else {
        return Ok(ObjectVersion::V1_0);
    };
    let text = content(node);
    if text.is_empty() {
        return Ok(ObjectVersion::V1_0);
    }
    text.parse()
        .map_err(|_| DdfError::at(node, DdfRule::Version))
}

fn operations(node: Node<'_, '_>) -> Result<Operations, DdfError> {
    let (read, write, execute) = match content(node).as_str() {
        "" => (false, false, false),
        "R" => (true, false, false),
        "W" => (false, true, false),
        "RW" => (true, true, false),
        "E" => (false, false, true),
        _ => return Err(DdfError::at(node, DdfRule::Operations)),
    };
    Ok(Operations {
        read,
        write,
        execute,
    })
}

fn kind(node: Node<'_, '_>) -> Result<ResourceType, DdfError> {
    Ok(match content(node).as_str() {
        "" => ResourceType::None,
        "String" => ResourceType::String,
        "Integer" => ResourceType::Integer,
        "Float" => ResourceType::Float,
        "Boolean" => ResourceType::Boolean,
        "Opaque" => ResourceType::Opaque,
        "Time" => ResourceType::Time,
        "Objlnk" => ResourceType::ObjectLink,
        "Unsigned Integer" => ResourceType::UnsignedInteger,
        "Corelnk" => ResourceType::CoreLink,
        _ => return Err(DdfError::at(node, DdfRule::Type)),
    })
}

/// Whether the element says `yes`; it has to say `no` otherwise.
fn choice(
    parent: Node<'_, '_>,
    name: &'static str,
    yes: &'static str,
    no: &'static str,
) -> Result<bool, DdfError> {
    let node = child(parent, name)?;
    match content(node) {
        text if text == yes => Ok(true),
        text if text == no => Ok(false),
        _ => Err(DdfError::at(node, DdfRule::Choice(name, yes, no))),
    }
}

fn number(text: &str) -> Option<ObjectId> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn child<'a, 'input>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> Result<Node<'a, 'input>, DdfError> {
    elements(parent, name)
        .next()
        .ok_or_else(|| DdfError::at(parent, DdfRule::Missing(name)))
}

fn elements<'a, 'input>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    parent
        .children()
        .filter(move |node| node.has_tag_name(name))
}

/// The text of an element without surrounding blanks.
fn content(node: Node<'_, '_>) -> String {
    let text: String = node
        .children()
        .filter(Node::is_text)
        .filter_map(|child| child.text())
        .collect();
    text.trim().to_owned()
}

/// The rule an object definition breaks, and where. `Display` gives `12:5: rule`, to follow a file name and a colon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {rule}")]
pub struct DdfError {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The rule.
    pub rule: DdfRule,
}

impl DdfError {
    fn at(node: Node<'_, '_>, rule: DdfRule) -> Self {
        let position = node.document().text_pos_at(node.range().start);
        Self {
            line: position.row,
            column: position.col,
            rule,
        }
    }

    const fn at_start(rule: DdfRule) -> Self {
        Self {
            line: 1,
            column: 1,
            rule,
        }
    }
}

/// Why the text is not the XML that is wanted.
fn malformed(error: &roxmltree::Error, text: &str) -> DdfError {
    let position = error.pos();
    let (line, column) = (position.row, position.col);
    if matches!(error, roxmltree::Error::DtdDetected) {
        let before = text.split("<!DOCTYPE").next().unwrap_or_default();
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        return DdfError {
            line: one_more(before.matches('\n').count()),
            column: one_more(last_line.chars().count()),
            rule: DdfRule::DocumentType,
        };
    }
    let rule = if matches!(error, roxmltree::Error::NodesLimitReached) {
        DdfRule::TooLarge
    } else {
        let message = error.to_string();
        let place = format!(" at {position}");
        DdfRule::Xml(message.strip_suffix(&place).unwrap_or(&message).to_owned())
    };
    DdfError { line, column, rule }
}

fn one_more(count: usize) -> u32 {
    u32::try_from(count).map_or(u32::MAX, |count| count.saturating_add(1))
}

/// A rule of object definitions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DdfRule {
    /// An element holds neither of its two words.
    #[error("{0} is `{1}` or `{2}`")]
    Choice(&'static str, &'static str, &'static str),
    /// A document type declaration.
    #[error("a document type declaration is not allowed")]
    DocumentType,
    /// Two objects of the same id and version.
    #[error("an object of this id and version is defined already")]
    DuplicateObject,
    /// Two resources of the same id.
    #[error("a resource of this id is defined already")]
    DuplicateResource,
    /// Not UTF-8.
    #[error("the text is not UTF-8")]
    Encoding,
    /// An element is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Not a number from 0 to 65535.
    #[error("{0} is a number from 0 to 65535")]
    Number(&'static str),
    /// Something other than an object definition.
    #[error("ObjectType is `MODefinition`")]
    ObjectType,
    /// Unknown operations.
    #[error("Operations is `R`, `W`, `RW`, `E` or empty")]
    Operations,
    /// Another kind of document.
    #[error("the root element is LWM2M")]
    Root,
    /// More than 1 MiB, or too many elements.
    #[error("the file is too large")]
    TooLarge,
    /// More resources than an object may have here.
    #[error("the object has too many resources")]
    TooManyResources,
    /// An unknown data type.
    #[error(
        "Type is String, Integer, Float, Boolean, Opaque, Time, Objlnk, Unsigned Integer, Corelnk or empty"
    )]
    Type,
    /// Not `major.minor`.
    #[error("ObjectVersion is two numbers joined by a dot")]
    Version,
    /// Not well-formed.
    #[error("{0}")]
    Xml(String),
}

/// The largest file, bytes.
const MAX_LENGTH: usize = 1024 * 1024;
/// The most XML nodes in a file: elements, texts and comments.
const MAX_NODES: u32 = 100_000;
/// The most equals signs in a file, and so the most attributes: the XML parser compares those of an element pair by pair.
/// Files of the registry have at most a hundred.
const MAX_ATTRIBUTES: usize = 4096;
/// The most namespaces declared in a file: every element inherits those around it, by copying them one by one. Files of
/// the registry declare one.
const MAX_NAMESPACES: usize = 32;
/// The most resources of an object.
const MAX_RESOURCES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    /// A definition of object 1000; `change` replaces a part of it.
    fn definition(change: (&str, &str)) -> String {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<LWM2M>
  <Object ObjectType="MODefinition">
    <Name>Test <!-- x -->&amp; <![CDATA[<more>]]></Name>
    <Description1/>
    <ObjectID>1000</ObjectID>
    <ObjectURN>urn:oma:lwm2m:x:1000:1.1</ObjectURN>
    <LWM2MVersion>1.1</LWM2MVersion>
    <ObjectVersion>1.1</ObjectVersion>
    <MultipleInstances>Multiple</MultipleInstances>
    <Mandatory>Optional</Mandatory>
    <Resources>
      <Item ID="5">
        <Name> Level </Name>
        <Operations>RW</Operations>
        <MultipleInstances>Single</MultipleInstances>
        <Mandatory>Mandatory</Mandatory>
        <Type>Integer</Type>
        <RangeEnumeration>-5..-1</RangeEnumeration>
        <Units>dB</Units>
        <Description>d</Description>
      </Item>
      <Item ID="6">
        <Name>Go</Name>
        <Operations>E</Operations>
        <MultipleInstances>Multiple</MultipleInstances>
        <Mandatory>Optional</Mandatory>
        <Type></Type>
      </Item>
    </Resources>
  </Object>
</LWM2M>"#;
        assert!(change.0.is_empty() || text.contains(change.0), "{change:?}");
        text.replacen(change.0, change.1, 1)
    }

    fn error(change: (&str, &str)) -> DdfError {
        parse(definition(change).as_bytes()).unwrap_err()
    }

    #[test]
    fn p41_reads_what_the_schema_defines() {
        let objects = parse(definition(("", "")).as_bytes()).unwrap();
        let [object] = objects.as_slice() else {
            panic!("one object expected: {objects:?}");
        };
        assert_eq!(
            (object.id, object.version),
            (1000, ObjectVersion::new(1, 1))
        );
        assert_eq!(object.name, "Test & <more>");
        assert!(object.multiple && !object.mandatory);
        assert_eq!(
            object.resources[&5],
            ResourceModel {
                id: 5,
                name: "Level".into(),
                operations: Operations {
                    read: true,
                    write: true,
                    execute: false,
                },
                multiple: false,
                mandatory: true,
                kind: ResourceType::Integer,
                range: "-5..-1".into(),
                units: "dB".into(),
            }
        );
        let go = &object.resources[&6];
        assert!(go.operations.execute && go.multiple && !go.mandatory);
        assert_eq!((go.kind, go.range.as_str()), (ResourceType::None, ""));
    }

    #[test]
    fn p41_every_type_and_operation_is_read() {
        for (name, kind) in [
            ("String", ResourceType::String),
            ("Integer", ResourceType::Integer),
            ("Float", ResourceType::Float),
            ("Boolean", ResourceType::Boolean),
            ("Opaque", ResourceType::Opaque),
            ("Time", ResourceType::Time),
            ("Objlnk", ResourceType::ObjectLink),
            ("Corelnk", ResourceType::CoreLink),
            ("Unsigned Integer", ResourceType::UnsignedInteger),
            ("", ResourceType::None),
        ] {
            let change = ("<Type>Integer<", format!("<Type>{name}<"));
            let objects = parse(definition((change.0, &change.1)).as_bytes()).unwrap();
            assert_eq!(objects[0].resources[&5].kind, kind, "{name}");
        }
        for (name, [read, write, execute]) in [
            ("R", [true, false, false]),
            ("W", [false, true, false]),
            ("RW", [true, true, false]),
            ("E", [false, false, true]),
            ("", [false, false, false]),
        ] {
            let change = ("<Operations>RW<", format!("<Operations>{name}<"));
            let objects = parse(definition((change.0, &change.1)).as_bytes()).unwrap();
            let operations = Operations {
                read,
                write,
                execute,
            };
            assert_eq!(objects[0].resources[&5].operations, operations, "{name}");
        }
    }

    #[test]
    fn p41_a_version_that_is_not_stated_is_1_0() {
        for version in ["", "<ObjectVersion/>", "<ObjectVersion> </ObjectVersion>"] {
            let change = ("<ObjectVersion>1.1</ObjectVersion>", version);
            let objects = parse(definition(change).as_bytes()).unwrap();
            assert_eq!(objects[0].version, ObjectVersion::V1_0, "{version}");
        }
    }

    #[test]
    fn a44_ranges_are_hints_and_never_refused() {
        for range in [
            "-5..-10",
            "10..1",
            "2 bytes",
            "&lt;7 to &gt;12.5",
            "16,32,48",
            "6",
        ] {
            let text = format!("<RangeEnumeration>{range}<");
            let objects = parse(definition(("<RangeEnumeration>-5..-1<", &text)).as_bytes());
            let expected = range.replace("&lt;", "<").replace("&gt;", ">");
            assert_eq!(objects.unwrap()[0].resources[&5].range, expected);
        }
    }

    #[test]
    fn a44_nested_entities_are_refused_before_they_expand() {
        let entities: String = (1..10)
            .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
            .collect();
        let laughs = format!("<!DOCTYPE x [<!ENTITY l0 \"lol\">{entities}]><LWM2M>&l9;</LWM2M>");
        assert_eq!(
            parse(laughs.as_bytes()).unwrap_err().rule,
            DdfRule::DocumentType
        );
    }

    #[test]
    fn a44_errors_name_line_column_and_rule() {
        for (change, message) in [
            (
                ("<Operations>RW<", "<Operations>RWE<"),
                "15:9: Operations is `R`, `W`, `RW`, `E` or empty",
            ),
            (
                ("<Type>Integer<", "<Type>Int<"),
                "18:9: Type is String, Integer, Float, Boolean, Opaque, Time, Objlnk, Unsigned Integer, Corelnk or empty",
            ),
            (
                ("ID=\"5\"", "ID=\"-5\""),
                "13:7: ID is a number from 0 to 65535",
            ),
            (("ID=\"5\"", ""), "13:7: ID is a number from 0 to 65535"),
            (
                ("ID=\"6\"", "ID=\"5\""),
                "23:7: a resource of this id is defined already",
            ),
            (
                ("<ObjectID>1000<", "<ObjectID>65536<"),
                "6:5: ObjectID is a number from 0 to 65535",
            ),
            (
                ("<ObjectVersion>1.1<", "<ObjectVersion>one<"),
                "9:5: ObjectVersion is two numbers joined by a dot",
            ),
            (
                ("<MultipleInstances>Multiple<", "<MultipleInstances>Many<"),
                "10:5: MultipleInstances is `Multiple` or `Single`",
            ),
            (
                ("<Mandatory>Optional<", "<Mandatory>Maybe<"),
                "11:5: Mandatory is `Mandatory` or `Optional`",
            ),
            (("<Name> Level </Name>", ""), "13:7: Name is missing"),
            (
                ("Object ObjectType=\"MODefinition\"", "Object"),
                "3:3: ObjectType is `MODefinition`",
            ),
            (
                ("</Item>", "</Itme>"),
                "22:7: expected 'Item' tag, not 'Itme'",
            ),
            (("Test ", "&nbsp;"), "4:11: unknown entity reference 'nbsp'"),
        ] {
            assert_eq!(error(change).to_string(), message);
        }
    }

    #[test]
    fn a44_document_types_and_entities_are_refused() {
        let declaration = r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>
<LWM2M>"#;
        let refused = error(("<LWM2M>", declaration));
        assert_eq!(refused.rule, DdfRule::DocumentType);
        assert_eq!((refused.line, refused.column), (2, 1));
        let empty = error(("<LWM2M>", "<!DOCTYPE LWM2M><LWM2M>"));
        assert_eq!(empty.rule, DdfRule::DocumentType);
    }

    #[test]
    fn a44_other_documents_are_refused() {
        let rule = |xml: &str| parse(xml.as_bytes()).unwrap_err().rule;
        assert_eq!(rule("<DDFList/>"), DdfRule::Root);
        assert_eq!(rule("<LWM2M/>"), DdfRule::Missing("Object"));
        assert!(matches!(rule(""), DdfRule::Xml(_)));
        assert!(matches!(rule("{}"), DdfRule::Xml(_)));
        assert_eq!(parse(&[0xff]).unwrap_err().rule, DdfRule::Encoding);
    }

    #[test]
    fn a44_size_is_bounded() {
        let rule = |xml: String| parse(xml.as_bytes()).unwrap_err().rule;
        assert_eq!(rule(" ".repeat(MAX_LENGTH + 1)), DdfRule::TooLarge);
        assert_eq!(
            rule(format!("<LWM2M>{}</LWM2M>", "<a/>".repeat(200_000))),
            DdfRule::TooLarge
        );
        assert!(matches!(rule("<a>".repeat(90_000)), DdfRule::Xml(_)));
        let attributes: String = (0..5000).map(|n| format!(" a{n}=''")).collect();
        assert_eq!(rule(format!("<LWM2M{attributes}/>")), DdfRule::TooLarge);
        let namespaces: String = (0..4000).map(|n| format!("<a xmlns:n{n}='u'>")).collect();
        assert_eq!(rule(namespaces), DdfRule::TooLarge);
        let items: String = (0..=MAX_RESOURCES)
            .map(|id| {
                format!(
                    r#"<Item ID="{id}"><Name/><Operations/><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory><Type/></Item>"#
                )
            })
            .collect();
        let refused = error(("<Resources>", &format!("<Resources>{items}")));
        assert_eq!(refused.rule, DdfRule::TooManyResources);
    }

    #[test]
    fn a44_the_same_version_twice_is_refused_and_two_versions_are_not() {
        let object = |change| {
            let text = definition(change);
            let (_, object) = text.split_once("<LWM2M>").unwrap();
            object.replace("</LWM2M>", "")
        };
        let file = |second: String| format!("<LWM2M>{}{second}</LWM2M>", object(("", "")));
        let newer = file(object(("<ObjectVersion>1.1<", "<ObjectVersion>1.2<")));
        assert_eq!(parse(newer.as_bytes()).unwrap().len(), 2);
        let same = file(object(("", "")));
        assert_eq!(
            parse(same.as_bytes()).unwrap_err().rule,
            DdfRule::DuplicateObject
        );
    }
}
