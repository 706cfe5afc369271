REVOKE USAGE ON SCHEMA gate FROM bulkhead_tenants;
