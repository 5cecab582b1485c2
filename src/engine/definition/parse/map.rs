//! The Parallel and the Map state.

use super::{
    Arc, ChildKind, Distributed, Format, Kind, MAX_LABEL, Map, MapState, Object, Parser, Place,
    Reader, Template, Value,
};

impl Parser {
    pub(super) fn parallel(&mut self, object: &Object, place: &str, inside: Place) -> Kind {
        let mut branches = Vec::new();
        match object.get("Branches") {
            Some(Value::Array(values)) if !values.is_empty() => {
                for (index, value) in values.iter().enumerate() {
                    let place = format!("{place}/Branches/{index}");
                    let Value::Object(branch) = value else {
                        self.problem(&place, "Value must be an object");
                        continue;
                    };
                    self.known(branch, &place, &["StartAt", "States", "Comment"]);
                    branches.push(Arc::new(self.scope(branch, &place, inside)));
                }
            }
            _ => self.problem(&format!("{place}/Branches"), "Value cannot be empty"),
        }
        Kind::Parallel { branches }
    }

    pub(super) fn map(&mut self, object: &Object, place: &str, inside: Place) -> Option<Kind> {
        for (new, legacy) in [
            ("ItemProcessor", "Iterator"),
            ("ItemSelector", "Parameters"),
        ] {
            if object.contains_key(new) && object.contains_key(legacy) {
                self.problem(
                    place,
                    format!("Only one of the fields '{new}' and '{legacy}' is allowed"),
                );
            }
        }
        let field = if object.contains_key("Iterator") {
            "Iterator"
        } else {
            "ItemProcessor"
        };
        let processor_place = format!("{place}/{field}");
        let Some(Value::Object(processor)) = object.get(field) else {
            self.problem(place, "These fields are required: [ItemProcessor]");
            return None;
        };
        self.known(
            processor,
            &processor_place,
            &["StartAt", "States", "ProcessorConfig", "Comment"],
        );
        let config = processor.get("ProcessorConfig").and_then(Value::as_object);
        let mode = config
            .and_then(|config| config.get("Mode"))
            .and_then(Value::as_str)
            .unwrap_or("INLINE");
        let is_distributed = mode == "DISTRIBUTED";
        if !is_distributed && mode != "INLINE" {
            self.problem(
                &format!("{processor_place}/ProcessorConfig/Mode"),
                "The field 'Mode' should have one of these values: [INLINE, DISTRIBUTED]",
            );
        }
        if is_distributed && inside == Place::InsideDistributed {
            self.problem(
                &processor_place,
                "A Distributed Map inside a Distributed Map is not supported by this engine yet",
            );
        }
        let common = [
            "InputPath",
            "OutputPath",
            "Next",
            "End",
            "Retry",
            "Catch",
            "ResultSelector",
            "ResultPath",
        ];
        let own = [
            "ItemProcessor",
            "Iterator",
            "ItemsPath",
            "ItemSelector",
            "Parameters",
            "MaxConcurrency",
            "MaxConcurrencyPath",
        ];
        let distributed_only = [
            "ItemReader",
            "Label",
            "ToleratedFailureCount",
            "ToleratedFailureCountPath",
            "ToleratedFailurePercentage",
            "ToleratedFailurePercentagePath",
            "ResultWriter",
        ];
        let only: &[&str] = if is_distributed {
            &distributed_only
        } else {
            &[]
        };
        self.fields(object, place, &[&common, &own, only]);
        let inside = if is_distributed {
            Place::InsideDistributed
        } else {
            inside
        };
        let scope = self.scope(processor, &processor_place, inside);
        let selector_field = if object.contains_key("Parameters") {
            "Parameters"
        } else {
            "ItemSelector"
        };
        Some(Kind::Map(Box::new(MapState {
            processor: Arc::new(scope),
            items_path: self.path(object, place, "ItemsPath"),
            selector: self.template(object, place, selector_field),
            max_concurrency: self.given(object, place, "MaxConcurrency", Value::as_u64),
            distributed: is_distributed
                .then(|| self.distributed(object, config, place, &processor_place)),
        })))
    }

    pub(super) fn distributed(
        &mut self,
        object: &Object,
        config: Option<&Object>,
        place: &str,
        processor: &str,
    ) -> Distributed {
        let children = match config
            .and_then(|config| config.get("ExecutionType"))
            .and_then(Value::as_str)
        {
            Some("STANDARD") => ChildKind::Standard,
            Some("EXPRESS") => ChildKind::Express,
            _ => {
                self.problem(&format!("{processor}/ProcessorConfig/ExecutionType"), "The field 'ExecutionType' should have one of these values: [STANDARD, EXPRESS]");
                ChildKind::Standard
            }
        };
        let label = self.text(object, place, "Label");
        if let Some(label) = &label {
            let at = format!("{place}/Label");
            let forbidden = |c: char| {
                c.is_whitespace() || c.is_control() || "?*<>{}[]:;,\\|^~$#%&`\"/".contains(c)
            };
            if label.is_empty() || label.chars().count() > MAX_LABEL || label.contains(forbidden) {
                self.coded("INVALID_LABEL_NAME", &at, format!("Label '{label}' is not valid: 1 to {MAX_LABEL} characters without white space and ?*<>{{}}[]:;,\\|^~$#%&`\"/"));
            } else if !self.labels.insert(label.clone()) {
                self.coded(
                    "DUPLICATE_LABEL_NAME",
                    &at,
                    format!("Duplicate label: {label}"),
                );
            }
        }
        let percentage =
            |value: &Value| value.as_f64().filter(|share| (0.0..=100.0).contains(share));
        Distributed {
            label,
            children,
            reader: self.reader(object, place),
            tolerated_count: self.given(object, place, "ToleratedFailureCount", Value::as_u64),
            tolerated_percentage: self.given(
                object,
                place,
                "ToleratedFailurePercentage",
                percentage,
            ),
            writer: self.writer(object, place),
        }
    }

    pub(super) fn reader(&mut self, object: &Object, place: &str) -> Option<Reader> {
        let place = format!("{place}/ItemReader");
        let Value::Object(reader) = object.get("ItemReader")? else {
            self.problem(&place, "Value must be an object");
            return None;
        };
        self.known(reader, &place, &["Resource", "Parameters", "ReaderConfig"]);
        let resource = self.text(reader, &place, "Resource").unwrap_or_default();
        if resource != "arn:aws:states:::s3:getObject" {
            self.problem(
                &format!("{place}/Resource"),
                format!("The reader resource '{resource}' is not supported by this engine yet"),
            );
        }
        let empty = Map::new();
        let config = reader
            .get("ReaderConfig")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let config_place = format!("{place}/ReaderConfig");
        self.known(
            config,
            &config_place,
            &["InputType", "MaxItems", "MaxItemsPath"],
        );
        let format = match config.get("InputType").and_then(Value::as_str) {
            Some("JSON") => Format::Json,
            Some("JSONL") => Format::JsonLines,
            other => {
                let text = format!(
                    "The input type {} is not supported by this engine yet: JSON and JSONL are",
                    other.unwrap_or("(none)")
                );
                self.problem(&format!("{config_place}/InputType"), text);
                Format::Json
            }
        };
        let max_items = self.given(config, &config_place, "MaxItems", Value::as_u64);
        let Some(parameters) = self.template(reader, &place, "Parameters") else {
            self.problem(&place, "These fields are required: [Parameters]");
            return None;
        };
        Some(Reader {
            format,
            parameters,
            max_items,
        })
    }

    pub(super) fn writer(&mut self, object: &Object, place: &str) -> Option<Template> {
        let place = format!("{place}/ResultWriter");
        let Value::Object(writer) = object.get("ResultWriter")? else {
            self.problem(&place, "Value must be an object");
            return None;
        };
        self.known(writer, &place, &["Resource", "Parameters"]);
        let resource = self.text(writer, &place, "Resource").unwrap_or_default();
        if resource != "arn:aws:states:::s3:putObject" {
            self.problem(
                &format!("{place}/Resource"),
                format!("The writer resource '{resource}' is not supported"),
            );
        }
        let template = self.template(writer, &place, "Parameters");
        if template.is_none() {
            self.problem(&place, "These fields are required: [Parameters]");
        }
        template
    }
}
