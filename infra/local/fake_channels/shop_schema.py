"""The part of Shopify's Admin schema that Onecount uses."""

from __future__ import annotations

from graphql import build_schema

SCHEMA = build_schema(
    """
    directive @idempotent(key: String!) on FIELD
    scalar DateTime
    scalar UnsignedInt64
    interface Node { id: ID! }
    type PageInfo { hasNextPage: Boolean! endCursor: String }
    type InventoryQuantity { name: String! quantity: Int! }
    type InventoryLevel { id: ID! quantities(names: [String!]!): [InventoryQuantity!]! }
    type InventoryItem implements Node {
      id: ID! sku: String tracked: Boolean! inventoryLevel(locationId: ID!): InventoryLevel
    }
    type ProductVariant implements Node {
      id: ID! legacyResourceId: UnsignedInt64! inventoryItem: InventoryItem!
    }
    type LineItem {
      id: ID! sku: String quantity: Int! currentQuantity: Int! unfulfilledQuantity: Int!
      requiresShipping: Boolean! variant: ProductVariant
    }
    type LineItemConnection { nodes: [LineItem!]! pageInfo: PageInfo! }
    type Order implements Node {
      id: ID! legacyResourceId: UnsignedInt64! name: String!
      createdAt: DateTime! updatedAt: DateTime! cancelledAt: DateTime
      lineItems(first: Int, after: String): LineItemConnection!
    }
    type OrderConnection { nodes: [Order!]! pageInfo: PageInfo! }
    enum OrderSortKeys { CREATED_AT ID UPDATED_AT }
    type Query {
      nodes(ids: [ID!]!): [Node]!
      order(id: ID!): Order
      orders(
        first: Int, after: String, query: String, sortKey: OrderSortKeys, reverse: Boolean
      ): OrderConnection!
    }
    input InventoryQuantityInput {
      inventoryItemId: ID! locationId: ID! quantity: Int! changeFromQuantity: Int
    }
    input InventorySetQuantitiesInput {
      name: String! reason: String! referenceDocumentUri: String quantities: [InventoryQuantityInput!]!
    }
    enum InventorySetQuantitiesUserErrorCode {
      CHANGE_FROM_QUANTITY_STALE IDEMPOTENCY_CONCURRENT_REQUEST IDEMPOTENCY_KEY_PARAMETER_MISMATCH
      IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED INVALID_INVENTORY_ITEM INVALID_LOCATION INVALID_NAME
      INVALID_QUANTITY_NEGATIVE INVALID_QUANTITY_TOO_HIGH INVALID_QUANTITY_TOO_LOW INVALID_REASON
      INVALID_REFERENCE_DOCUMENT ITEM_NOT_STOCKED_AT_LOCATION
      NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR NON_MUTABLE_INVENTORY_ITEM
    }
    type InventorySetQuantitiesUserError {
      code: InventorySetQuantitiesUserErrorCode field: [String!] message: String!
    }
    type InventoryAdjustmentGroup { id: ID! reason: String! referenceDocumentUri: String }
    type InventorySetQuantitiesPayload {
      inventoryAdjustmentGroup: InventoryAdjustmentGroup
      userErrors: [InventorySetQuantitiesUserError!]!
    }
    type Mutation {
      inventorySetQuantities(input: InventorySetQuantitiesInput!): InventorySetQuantitiesPayload
    }
    """
)

IDEMPOTENT = next(directive for directive in SCHEMA.directives if directive.name == "idempotent")
