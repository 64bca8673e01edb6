/** Builds ONNX models in code: nodes, constants, inputs and outputs, and the bytes of it all. */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  ModelProtoSchema,
} from "onnx-buf";

/** Names a value that flows through the graph. */
export type Value = string;

export type ElementType = "float32" | "int64";

/** A number is a whole-number attribute; floats say so. */
export type Attribute = number | readonly number[] | string | { readonly float: number };

/** A size, or the name of one that differs from run to run. */
export type Dimension = number | string;

const IR_VERSION = 10n;
/** The first opset with RMSNormalization, RotaryEmbedding and Gelu among its operators. */
const OPSET = 23n;
const MICROSOFT = "com.microsoft";

const ELEMENT_TYPES: { readonly [Type in ElementType]: DataType } = {
  float32: DataType.FLOAT,
  int64: DataType.INT64,
};

type ModelInit = NonNullable<Parameters<typeof create<typeof ModelProtoSchema>>[1]>;
type GraphInit = Exclude<ModelInit["graph"], undefined>;
type NodeInit = NonNullable<GraphInit["node"]>[number];
type TensorInit = NonNullable<GraphInit["initializer"]>[number];
type ValueInfoInit = NonNullable<GraphInit["input"]>[number];

export class GraphBuilder {
  private readonly nodes: NodeInit[] = [];
  private readonly constants: TensorInit[] = [];
  private readonly inputs = new Map<string, ValueInfoInit>();
  private readonly outputs: ValueInfoInit[] = [];
  private readonly wholes = new Map<string, Value>();
  private values = 0;

  /** Adds an operator with one output. An empty text stands for an input that is left out. */
  add(
    operator: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>> = {},
    options: { readonly microsoft?: boolean; readonly output?: string } = {},
  ): Value {
    const output = options.output ?? this.fresh();
    this.nodes.push({
      opType: operator,
      domain: options.microsoft === true ? MICROSOFT : "",
      name: `${operator}_${this.nodes.length}`,
      input: [...inputs],
      output: [output],
      attribute: Object.entries(attributes).map(([name, value]) => attributeOf(name, value)),
    });
    return output;
  }

  /** A constant list of whole numbers; the same list is the same value. */
  whole(numbers: readonly number[]): Value {
    const key = numbers.join(",");
    const known = this.wholes.get(key);
    if (known !== undefined) return known;
    const name = this.fresh();
    this.constants.push({
      name,
      dataType: DataType.INT64,
      dims: [BigInt(numbers.length)],
      int64Data: numbers.map(BigInt),
    });
    this.wholes.set(key, name);
    return name;
  }

  /** A constant tensor; without a shape a scalar. */
  floats(values: Float32Array, shape: readonly number[] = []): Value {
    const name = this.fresh();
    const rawData = new Uint8Array(values.byteLength);
    rawData.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    this.constants.push({ name, dataType: DataType.FLOAT, dims: shape.map(BigInt), rawData });
    return name;
  }

  scalar(value: number): Value {
    return this.floats(Float32Array.of(value));
  }

  /** An input of the graph; naming it twice is naming it once. */
  input(name: string, shape: readonly Dimension[], type: ElementType = "float32"): Value {
    this.inputs.set(name, valueInfo(name, shape, type));
    return name;
  }

  /** Makes a value an output under a name of its own. */
  output(
    value: Value,
    name: string,
    shape: readonly Dimension[],
    type: ElementType = "float32",
  ): void {
    this.add("Identity", [value], {}, { output: name });
    this.outputs.push(valueInfo(name, shape, type));
  }

  /** Nodes that no output depends on are left out, and inputs that none of the others reads. */
  bytes(): Uint8Array {
    const needed = new Set(this.outputs.map(({ name }) => name));
    const nodes = this.nodes
      .toReversed() // a node comes after those that it reads
      .filter(({ input, output }) => {
        const isNeeded = output!.some((name) => needed.has(name));
        if (isNeeded) for (const name of input!) needed.add(name);
        return isNeeded;
      })
      .reverse();
    return toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        irVersion: IR_VERSION,
        producerName: "spinfer",
        opsetImport: [
          { domain: "", version: OPSET },
          { domain: MICROSOFT, version: 1n },
        ],
        graph: {
          name: "part",
          node: nodes,
          initializer: this.constants,
          input: [...this.inputs.values()].filter(({ name }) => needed.has(name)),
          output: this.outputs,
        },
      }),
    );
  }

  private fresh(): Value {
    this.values++;
    return `v${this.values}`;
  }
}

function attributeOf(name: string, value: Attribute) {
  if (typeof value === "number") {
    return { name, type: AttributeType.INT, i: BigInt(value) };
  }
  if (typeof value === "string") {
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  }
  if ("float" in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.INTS, ints: value.map(BigInt) };
}

function valueInfo(name: string, shape: readonly Dimension[], type: ElementType): ValueInfoInit {
  const dim = shape.map((size) =>
    typeof size === "number"
      ? { value: { case: "dimValue" as const, value: BigInt(size) } }
      : { value: { case: "dimParam" as const, value: size } },
  );
  return {
    name,
    type: {
      value: {
        case: "tensorType",
        value: { elemType: ELEMENT_TYPES[type], shape: { dim } },
      },
    },
  };
}
