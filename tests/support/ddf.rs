//! Object definitions as the platform stores them (DDF), written from our own tables of facts.

use std::fmt::Write;

use lightship::lwm2m::{
    model::{ObjectModel, core},
    path::{ObjectId, ObjectVersion},
    value::ResourceType,
};

/// The definition of a built-in object under the version asked for.
pub(crate) fn built_in(object: ObjectId, version: ObjectVersion) -> String {
    let catalog = core::catalog();
    let model = catalog.best(object, version).expect("a built-in object");
    text(&ObjectModel {
        version,
        ..ObjectModel::clone(model)
    })
}

fn text(model: &ObjectModel) -> String {
    let mut items = String::new();
    for resource in model.resources.values() {
        let operations = match (
            resource.operations.execute,
            resource.operations.read,
            resource.operations.write,
        ) {
            (true, ..) => "E",
            (false, true, true) => "RW",
            (false, true, false) => "R",
            (false, false, true) => "W",
            (false, false, false) => "",
        };
        let kind = match resource.kind {
            ResourceType::String => "String",
            ResourceType::Integer => "Integer",
            ResourceType::Float => "Float",
            ResourceType::Boolean => "Boolean",
            ResourceType::Opaque => "Opaque",
            ResourceType::Time => "Time",
            ResourceType::ObjectLink => "Objlnk",
            ResourceType::UnsignedInteger => "Unsigned Integer",
            ResourceType::CoreLink => "Corelnk",
            ResourceType::None => "",
        };
        write!(
            items,
            "<Item ID=\"{}\"><Name>{}</Name><Operations>{operations}</Operations>\
             <MultipleInstances>{}</MultipleInstances><Mandatory>{}</Mandatory><Type>{kind}</Type>\
             <RangeEnumeration></RangeEnumeration><Units></Units><Description></Description></Item>",
            resource.id,
            resource.name,
            either(resource.multiple, "Multiple", "Single"),
            either(resource.mandatory, "Mandatory", "Optional"),
        )
        .expect("writing to a string does not fail");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><LWM2M><Object ObjectType=\"MODefinition\">\
         <Name>{}</Name><Description1></Description1><ObjectID>{}</ObjectID><ObjectURN></ObjectURN>\
         <LWM2MVersion>1.1</LWM2MVersion><ObjectVersion>{}</ObjectVersion>\
         <MultipleInstances>{}</MultipleInstances><Mandatory>{}</Mandatory>\
         <Resources>{items}</Resources><Description2></Description2></Object></LWM2M>",
        model.name,
        model.id,
        model.version,
        either(model.multiple, "Multiple", "Single"),
        either(model.mandatory, "Mandatory", "Optional"),
    )
}

fn either(condition: bool, yes: &'static str, no: &'static str) -> &'static str {
    if condition { yes } else { no }
}
