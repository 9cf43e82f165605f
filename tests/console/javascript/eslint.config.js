// Rules for the scripts of the console. What is not defined, and types, are TypeScript's to find.
import { createRequire } from "node:module";

// The packages lie beside the program, not beside this file.
const { configs } = createRequire(process.argv[1])("@eslint/js");
const HTML = "Texts of others must stay texts: use textContent, or a page that the server renders.";

export default [
  configs.recommended,
  {
    rules: {
      "no-undef": "off",
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-script-url": "error",
      "no-shadow": "error",
      "no-console": "error",
      "no-alert": "error",
      "no-restricted-properties": [
        "error",
        { object: "document", property: "write", message: HTML },
        { property: "insertAdjacentHTML", message: HTML },
      ],
      "no-restricted-syntax": ["error", { selector: "AssignmentExpression > MemberExpression.left[property.name=/^(inner|outer)HTML$/]", message: HTML }],
    },
  },
];
