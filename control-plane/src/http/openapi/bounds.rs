//! Numbers in the document have the bounds of the type that is read: a reader of it need not know what `uint32` is.

use utoipa::Number;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayItems, KnownFormat, Object, Schema, SchemaFormat,
};
use utoipa::openapi::{OpenApi, RefOr};

/// Adds them to the components and to the parameters of every operation.
pub(super) fn add(api: &mut OpenApi) {
    let schemas = api.components.iter_mut();
    for schema in schemas.flat_map(|components| components.schemas.values_mut()) {
        bound(schema);
    }
}

/// The same for the parameters of an operation.
pub(super) fn add_to_parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(schema) = &mut parameter.schema
        {
            bound(schema);
        }
    }
}

fn bound(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else {
        return;
    };
    match schema {
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                bound(items);
            }
        }
        Schema::Object(object) => bound_object(object),
        Schema::OneOf(all) => all.items.iter_mut().for_each(bound),
        Schema::AllOf(all) => all.items.iter_mut().for_each(bound),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(bound),
        _ => {}
    }
}

fn bound_object(object: &mut Object) {
    object.properties.values_mut().for_each(bound);
    if let Some(more) = &mut object.additional_properties
        && let AdditionalProperties::RefOr(schema) = &mut **more
    {
        bound(schema);
    }
    let Some(SchemaFormat::KnownFormat(format)) = &object.format else {
        return;
    };
    let (least, most) = match format {
        KnownFormat::Int32 => (
            Number::Int(i32::MIN as isize),
            Number::Int(i32::MAX as isize),
        ),
        KnownFormat::Int64 => (Number::Int(isize::MIN), Number::Int(isize::MAX)),
        KnownFormat::UInt32 => (Number::UInt(0), Number::UInt(u32::MAX as usize)),
        KnownFormat::UInt64 => (Number::UInt(0), Number::UInt(usize::MAX)),
        _ => return,
    };
    object.minimum.get_or_insert(least);
    object.maximum.get_or_insert(most);
}
