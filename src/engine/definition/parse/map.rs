//! The Parallel and the Map state.

use super::{
    Arc, Batcher, ChildKind, Csv, Dataset, Distributed, Format, Kind, Language, MAX_LABEL, Map,
    MapState, Object, Parser, Place, Reader, Shape, Template, Transformation, Value, Writer,
};

/// Fields of a `ReaderConfig` that go with CSV.
const CSV_FIELDS: [&str; 3] = ["CSVDelimiter", "CSVHeaderLocation", "CSVHeaders"];
/// Longest `ItemsPointer` (developer guide, "ItemReader").
const MAX_POINTER: usize = 2_000;
/// Longest input of a batch, in bytes (developer guide, "ItemBatcher").
const MAX_BATCH_BYTES: u64 = 262_144;

impl Parser {
    pub(super) fn parallel(&mut self, object: &Object, place: &str, inside: Place) -> Kind {
        let mut branches = Vec::new();
        match object.get("Branches") {
            Some(Value::Array(values)) if !values.is_empty() => {
                for (index, value) in values.iter().enumerate() {
                    let place = format!("{place}/Branches[{index}]");
                    let Value::Object(branch) = value else {
                        self.problem(&place, "Expected value of type [OBJECT]");
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
        if is_distributed && inside.workflow == ChildKind::Express {
            self.problem(
                &processor_place,
                "Express state machine does not support Map states in DISTRIBUTED mode",
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
            "Output",
            "Assign",
        ];
        let own = [
            "ItemProcessor",
            "Iterator",
            "ItemsPath",
            "Items",
            "ItemSelector",
            "Parameters",
            "MaxConcurrency",
            "MaxConcurrencyPath",
        ];
        let distributed_only = [
            "ItemReader",
            "ItemBatcher",
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
        let children = self.children(config, &processor_place, is_distributed);
        let inside = Place {
            workflow: children.unwrap_or(inside.workflow),
            ..inside
        };
        let scope = self.scope(processor, &processor_place, inside);
        let selector_field = if object.contains_key("Parameters") {
            "Parameters"
        } else {
            "ItemSelector"
        };
        Some(Kind::Map(Box::new(MapState {
            processor: Arc::new(scope),
            items_path: match self.language {
                Language::JsonPath => self.path(object, place, "ItemsPath"),
                Language::Jsonata => None,
            },
            items: self.template(object, place, "Items"),
            selector: self.template(object, place, selector_field),
            max_concurrency: self.given(object, place, "MaxConcurrency", Value::as_u64),
            distributed: children.map(|children| self.distributed(object, children, place)),
        })))
    }

    /// What a Distributed Map's children are.
    fn children(
        &mut self,
        config: Option<&Object>,
        processor: &str,
        is_distributed: bool,
    ) -> Option<ChildKind> {
        let kind = config.and_then(|config| config.get("ExecutionType"));
        match kind.and_then(Value::as_str) {
            _ if !is_distributed => None,
            Some("STANDARD") => Some(ChildKind::Standard),
            Some("EXPRESS") => Some(ChildKind::Express),
            _ => {
                let at = format!("{processor}/ProcessorConfig/ExecutionType");
                let text = "The field 'ExecutionType' should have one of these values: [STANDARD, EXPRESS]";
                self.problem(&at, text);
                Some(ChildKind::Standard)
            }
        }
    }

    fn distributed(&mut self, object: &Object, children: ChildKind, place: &str) -> Distributed {
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
            batcher: self.batcher(object, place),
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
            self.problem(&place, "Expected value of type [OBJECT]");
            return None;
        };
        self.known(
            reader,
            &place,
            &["Resource", "Parameters", "Arguments", "ReaderConfig"],
        );
        let config_place = format!("{place}/ReaderConfig");
        let empty = Map::new();
        let config = match reader.get("ReaderConfig") {
            None => &empty,
            Some(Value::Object(config)) => config,
            Some(_) => {
                self.problem(&config_place, "Expected value of type [OBJECT]");
                &empty
            }
        };
        let fields = [
            "InputType",
            "MaxItems",
            "MaxItemsPath",
            "ItemsPointer",
            "Transformation",
            "ManifestType",
        ];
        self.known(config, &config_place, &[&fields[..], &CSV_FIELDS].concat());
        let resource = self.text(reader, &place, "Resource").unwrap_or_default();
        let (dataset, arguments): (_, &[&str]) = match resource.as_str() {
            "arn:aws:states:::s3:getObject" => {
                let format = self.object_format(config, &config_place);
                let arguments = &["Bucket", "Key", "VersionId", "ExpectedBucketOwner"];
                (Dataset::Object(format), arguments)
            }
            "arn:aws:states:::s3:listObjectsV2" => {
                let format = self.listed_format(config, &config_place);
                let arguments = &["Bucket", "Prefix", "ExpectedBucketOwner"];
                (Dataset::Listing(format), arguments)
            }
            _ => {
                self.problem(
                    &format!("{place}/Resource"),
                    format!("The reader resource '{resource}' is not supported"),
                );
                (Dataset::Listing(None), &[])
            }
        };
        let max_items = self.given(config, &config_place, "MaxItems", |value| {
            value.as_i64().filter(|most| *most >= 0)
        });
        let parameters = self.arguments(reader, &place, arguments)?;
        Some(Reader {
            dataset,
            parameters,
            max_items,
        })
    }

    /// The arguments of a reader or writer, which must be among `known`.
    fn arguments(&mut self, object: &Object, place: &str, known: &[&str]) -> Option<Template> {
        let field = self.parameters_field();
        let Some(given) = object.get(field) else {
            self.problem(place, format!("These fields are required: [{field}]"));
            return None;
        };
        let names = given.as_object().into_iter().flat_map(Map::keys);
        for name in names {
            if !known.contains(&name.strip_suffix(".$").unwrap_or(name)) {
                self.problem(
                    &format!("{place}/{field}"),
                    format!("Field '{name}' is not supported"),
                );
            }
        }
        self.parameters(object, place)
    }

    fn object_format(&mut self, config: &Object, place: &str) -> Format {
        self.excluded(config, place, &["Transformation"], "s3:listObjectsV2");
        let manifest = self.choice_of(config, place, "ManifestType", &["S3_INVENTORY"]);
        if manifest.is_some() {
            // The manifest itself says what its files are.
            let fields = ["InputType", "ItemsPointer"];
            self.excluded(config, place, &fields, "another ManifestType");
            self.excluded(config, place, &CSV_FIELDS, "the InputType CSV");
            return Format::Inventory;
        }
        if config.get("InputType").and_then(Value::as_str) == Some("MANIFEST") {
            self.excluded(config, place, &["ItemsPointer"], "the InputType JSON");
            self.excluded(config, place, &CSV_FIELDS, "the InputType CSV");
            return Format::Inventory;
        }
        self.format(config, place)
    }

    fn listed_format(&mut self, config: &Object, place: &str) -> Option<Format> {
        self.excluded(config, place, &["ManifestType"], "s3:getObject");
        let known = ["NONE", "LOAD_AND_FLATTEN"];
        let transformation = self.choice_of(config, place, "Transformation", &known);
        if transformation == Some("LOAD_AND_FLATTEN") {
            return Some(self.format(config, place));
        }
        let fields = ["InputType", "ItemsPointer"];
        self.excluded(
            config,
            place,
            &fields,
            "the Transformation LOAD_AND_FLATTEN",
        );
        self.excluded(config, place, &CSV_FIELDS, "the InputType CSV");
        None
    }

    /// `InputType` and the fields that go with it.
    fn format(&mut self, config: &Object, place: &str) -> Format {
        if !config.contains_key("InputType") {
            self.problem(place, "These fields are required: [InputType]");
            return Format::Json;
        }
        let input = self.choice_of(config, place, "InputType", &["CSV", "JSON", "JSONL"]);
        if input != Some("JSON") {
            self.excluded(config, place, &["ItemsPointer"], "the InputType JSON");
        }
        if input != Some("CSV") {
            self.excluded(config, place, &CSV_FIELDS, "the InputType CSV");
        }
        match input {
            Some("CSV") => Format::Csv(self.csv(config, place)),
            Some("JSONL") => Format::JsonLines,
            _ => self.pointer(config, place),
        }
    }

    fn pointer(&mut self, config: &Object, place: &str) -> Format {
        let Some(pointer) = self.text(config, place, "ItemsPointer") else {
            return Format::Json;
        };
        let is_pointer = pointer.is_empty() || pointer.starts_with('/');
        if !is_pointer || pointer.len() > MAX_POINTER {
            self.problem(
                &format!("{place}/ItemsPointer"),
                format!("Value must be a JSON Pointer of at most {MAX_POINTER} characters"),
            );
        }
        Format::JsonAt(pointer)
    }

    fn csv(&mut self, config: &Object, place: &str) -> Csv {
        let delimiters = ["COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"];
        let delimiter = match self.choice_of(config, place, "CSVDelimiter", &delimiters) {
            Some("PIPE") => b'|',
            Some("SEMICOLON") => b';',
            Some("SPACE") => b' ',
            Some("TAB") => b'\t',
            _ => b',',
        };
        if !config.contains_key("CSVHeaderLocation") {
            self.problem(place, "These fields are required: [CSVHeaderLocation]");
        }
        let locations = ["FIRST_ROW", "GIVEN"];
        let is_given =
            self.choice_of(config, place, "CSVHeaderLocation", &locations) == Some("GIVEN");
        if !is_given {
            let location = "the CSVHeaderLocation GIVEN";
            self.excluded(config, place, &["CSVHeaders"], location);
            return Csv {
                delimiter,
                headers: None,
            };
        }
        let at = format!("{place}/CSVHeaders");
        let headers = match config.get("CSVHeaders") {
            None => {
                self.problem(place, "These fields are required: [CSVHeaders]");
                None
            }
            Some(Value::Array(headers)) if !headers.is_empty() => headers
                .iter()
                .map(|header| header.as_str().map(str::to_owned))
                .collect::<Option<Vec<String>>>(),
            Some(_) => None,
        };
        if headers.is_none() && config.contains_key("CSVHeaders") {
            self.problem(&at, "Value must be an array of strings that is not empty");
        }
        Csv {
            delimiter,
            headers: Some(headers.unwrap_or_default()),
        }
    }

    /// A string field with few values; another value is a problem that names them.
    fn choice_of<'v>(
        &mut self,
        object: &Object,
        place: &str,
        field: &str,
        values: &[&'v str],
    ) -> Option<&'v str> {
        let text = self.text(object, place, field)?;
        let found = values.iter().find(|value| **value == text).copied();
        if found.is_none() {
            let shown = values.join(", ");
            self.problem(
                &format!("{place}/{field}"),
                format!("The {field} '{text}' is not supported by this engine: [{shown}] are"),
            );
        }
        found
    }

    /// Fields that only go with something else.
    fn excluded(&mut self, object: &Object, place: &str, fields: &[&str], with: &str) {
        for field in fields.iter().filter(|field| object.contains_key(**field)) {
            self.problem(
                &format!("{place}/{field}"),
                format!("The field '{field}' is only allowed with {with}"),
            );
        }
    }

    fn batcher(&mut self, object: &Object, place: &str) -> Option<Batcher> {
        let place = format!("{place}/ItemBatcher");
        let Value::Object(batcher) = object.get("ItemBatcher")? else {
            self.problem(&place, "Expected value of type [OBJECT]");
            return None;
        };
        let limits = [
            "MaxItemsPerBatch",
            "MaxItemsPerBatchPath",
            "MaxInputBytesPerBatch",
            "MaxInputBytesPerBatchPath",
        ];
        self.known(batcher, &place, &[&limits[..], &["BatchInput"]].concat());
        if !limits.iter().any(|limit| batcher.contains_key(*limit)) {
            let text =
                "One of the fields 'MaxItemsPerBatch' and 'MaxInputBytesPerBatch' is required";
            self.problem(&place, text);
        }
        let positive = |value: &Value| value.as_u64().filter(|limit| *limit > 0);
        let bytes = |value: &Value| positive(value).filter(|limit| *limit <= MAX_BATCH_BYTES);
        Some(Batcher {
            max_items: self.given(batcher, &place, "MaxItemsPerBatch", positive),
            max_bytes: self.given(batcher, &place, "MaxInputBytesPerBatch", bytes),
            input: self.template(batcher, &place, "BatchInput"),
        })
    }

    pub(super) fn writer(&mut self, object: &Object, place: &str) -> Option<Writer> {
        let place = format!("{place}/ResultWriter");
        let Value::Object(writer) = object.get("ResultWriter")? else {
            self.problem(&place, "Expected value of type [OBJECT]");
            return None;
        };
        let fields = ["Resource", "Parameters", "Arguments", "WriterConfig"];
        self.known(writer, &place, &fields);
        let shape = self.shape(writer, &place);
        if shape.is_some()
            && !["Resource", "Parameters", "Arguments"]
                .map(|field| writer.contains_key(field))
                .contains(&true)
        {
            return Some(Writer {
                parameters: None,
                shape: shape?,
            });
        }
        let resource = self.text(writer, &place, "Resource").unwrap_or_default();
        if resource != "arn:aws:states:::s3:putObject" {
            self.problem(
                &format!("{place}/Resource"),
                format!("The writer resource '{resource}' is not supported"),
            );
        }
        Some(Writer {
            parameters: Some(self.arguments(writer, &place, &["Bucket", "Prefix"])?),
            shape: shape.unwrap_or(Shape {
                transformation: Transformation::None,
                lines: false,
            }),
        })
    }

    /// `WriterConfig`. What it leaves out depends on whether the results go to S3.
    fn shape(&mut self, writer: &Object, place: &str) -> Option<Shape> {
        let place = format!("{place}/WriterConfig");
        let Value::Object(config) = writer.get("WriterConfig")? else {
            self.problem(&place, "Value must be an object");
            return None;
        };
        self.known(config, &place, &["Transformation", "OutputType"]);
        let known = ["NONE", "COMPACT", "FLATTEN"];
        let transformation = match self.choice_of(config, &place, "Transformation", &known) {
            Some("NONE") => Transformation::None,
            Some("COMPACT") => Transformation::Compact,
            Some("FLATTEN") => Transformation::Flatten,
            _ if writer.contains_key("Resource") => Transformation::None,
            _ => Transformation::Compact,
        };
        let output = self.choice_of(config, &place, "OutputType", &["JSON", "JSONL"]);
        Some(Shape {
            transformation,
            lines: output == Some("JSONL"),
        })
    }
}
