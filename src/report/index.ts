/** Pages from records: plain data in, text out. */
export { type CardData, type CardResult, modelCard } from "./card.ts";
export type {
  EvaluationData,
  Fact,
  KernelData,
  LayerCell,
  LayerMap,
  LoadingSpeed,
  ModelSpeed,
  PointData,
  ReportData,
  SideSpeed,
  SpeedData,
  SweepData,
} from "./data.ts";
export { markdownPage } from "./markdown.ts";
export { htmlPage } from "./page.ts";
